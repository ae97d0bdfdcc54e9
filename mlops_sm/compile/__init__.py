"""Compile: builders run in a child process, and a byte-stable definition with its assets comes out."""

from mlops_sm.compile.assets import Asset, AssetForm, materialize
from mlops_sm.compile.compiler import Compiled, Request, Spawn, compile_pipeline
from mlops_sm.compile.references import find_module, known_references

__all__ = [
    "Asset",
    "AssetForm",
    "Compiled",
    "Request",
    "Spawn",
    "compile_pipeline",
    "find_module",
    "known_references",
    "materialize",
]
