"""``python -m mlops_sm`` is the command ``mlops-sm``."""

import sys

from mlops_sm.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
