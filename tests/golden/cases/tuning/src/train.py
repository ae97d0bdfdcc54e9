"""The script of this case; it never runs."""

import model  # noqa: F401 - a second file, so that the archive is one
