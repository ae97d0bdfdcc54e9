"""The pipeline definition: the document every author writes and every reader eats. Pure."""

from mlops_sm.definition.document import Definition, Json, Scalar, Step
from mlops_sm.definition.graph import Graph
from mlops_sm.definition.jsontext import canonical_json, digest
from mlops_sm.definition.parameters import bind_parameters
from mlops_sm.definition.parse import parse

__all__ = ["Definition", "Graph", "Json", "Scalar", "Step", "bind_parameters", "canonical_json", "digest", "parse"]
