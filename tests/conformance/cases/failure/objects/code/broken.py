"""End as a job that found a fault does."""

import sys

sys.exit(3)
