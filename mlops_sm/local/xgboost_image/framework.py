"""What the image gives an inference script that does not define all of its functions (script mode)."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import xgboost

from . import encoder, inference

_HANDLERS = ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn")


def handlers(code: str, program: str) -> dict[str, Callable[..., Any]]:
    """The functions of a script, and the image's own input_fn and predict_fn beside them.

    Args:
        code: The script's folder, which is on the path already.
        program: Its file.
    """
    path = Path(code, program)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    own = {name: getattr(module, name) for name in _HANDLERS if hasattr(module, name)}
    if "transform_fn" in own:
        return {"model_fn": _load, **own}
    return {"model_fn": _load, "input_fn": encoder.decode, "predict_fn": _predict, **own}


def _load(model_dir: str) -> xgboost.Booster:
    sys.stderr.write("note: xgboost-model was loaded without a model_fn; AWS's image needs one in the script\n")
    return inference.load_model(Path(model_dir) / "xgboost-model")


def _predict(matrix: xgboost.DMatrix, model: xgboost.Booster) -> Any:  # noqa: ANN401 - an array
    features = model.num_features()
    return model.predict(encoder.as_wide_as(matrix, features), validate_features=False)
