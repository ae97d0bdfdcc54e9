import argparse
import sys
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--segment")
parser.add_argument("--refused")
arguments = parser.parse_args()
if arguments.segment == arguments.refused:
    sys.exit("no model for this segment")
values = [float(v) for path in Path("/opt/ml/input/data/train").rglob("*.txt") for v in path.read_text().split()]
Path("/opt/ml/model/mean.txt").write_text(str(sum(values) / len(values)))
print(f"mean={sum(values) / len(values)};")
