"""What a function said of an item is kept."""

import sys
from pathlib import Path

Path("/opt/ml/processing/output/kept/score.txt").write_text(sys.argv[1])
