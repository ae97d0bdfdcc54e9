"""How the image's programs fail."""

from __future__ import annotations


class UserError(Exception):
    """The request or the data is wrong; the image's word for it."""


class AlgorithmError(Exception):
    """XGBoost refused to train; the image's word for it."""
