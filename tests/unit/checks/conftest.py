"""Sample definitions: what SDK v3, SDK v2 and people write."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mlops_sm.definition.expressions import parse_path

DEFINITIONS = Path(__file__).parent / "definitions"


class Samples(NamedTuple):
    """Reads samples, whole or with one edit."""

    folder: Path

    def text(self, name: str) -> str:
        return (self.folder / f"{name}.json").read_text(encoding="utf-8")

    def load(self, name: str) -> Any:
        return json.loads(self.text(name))

    def value(self, name: str, path: str) -> Any:
        """The value at a path of a sample."""
        inside = self.load(name)
        for token in parse_path(path):
            inside = inside[token]
        return inside

    def edited(self, name: str, path: str, *values: Any) -> str:
        """A sample with the value at a path replaced, or removed if no value is given."""
        document = self.load(name)
        self.edit(document, path, *values)
        return json.dumps(document)

    def edit(self, document: Any, path: str, *values: Any) -> None:
        """Replace the value at a path of a document, append it, or remove it if no value is given."""
        *parents, last = parse_path(path)
        inside = document
        for token in parents:
            inside = inside[token]
        if not values:
            del inside[last]
        elif isinstance(inside, list) and last == len(inside):
            inside.append(values[0])
        else:
            inside[last] = values[0]


@pytest.fixture(scope="session")
def samples() -> Samples:
    return Samples(DEFINITIONS)
