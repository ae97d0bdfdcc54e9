"""The contract of AWS's inference scripts: model_fn, input_fn, predict_fn, output_fn or transform_fn, with defaults.

Copied into the job beside `program`; imports nothing of this package. Defaults are those of the scikit-learn image
(sagemaker-scikit-learn-container, ``handler_service.py``; sagemaker-containers, ``_encoders.py``): CSV and JSON become
arrays of float32, a single row becomes a table, the answer is JSON unless something else is accepted. As there, CSV
and JSON arrive at input_fn as text.
"""

from __future__ import annotations

import importlib.util
import inspect
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

Answer = tuple[int, str, "bytes | Iterator[bytes]", "dict[str, str]"]
"""Status, content type, body, whole or in parts, and further headers."""
Invoke = Callable[[bytes, "str | None", "str | None", "dict[str, str]"], Answer]

JSON = "application/json"
CSV = "text/csv"
NPY = "application/x-npy"
_TEXT = (JSON, CSV)
_OK, _NOT_ACCEPTABLE, _UNSUPPORTED = 200, 406, 415
_HANDLERS = ("input_fn", "predict_fn", "output_fn")
_PICKLES = (".joblib", ".pkl", ".pickle")


class UnsupportedFormatError(Exception):
    """A content type that a default handler cannot read or write."""


class Context:
    """What a handler may take as its last argument: where the model is, the request's headers, the response's.

    Named as in multi-model-server's ``context.py``, whose context AWS's images give to handlers.
    """

    def __init__(self, model_dir: str, headers: Mapping[str, str]) -> None:
        self.system_properties: dict[str, str | None] = {"model_dir": model_dir, "gpu_id": None}
        self._headers = headers
        self.response_headers: dict[str, str] = {}
        self.response_status = _OK

    def get_all_request_header(self) -> dict[str, str]:
        """Every header of the request."""
        return dict(self._headers)

    def get_request_header(self, _index: int, key: str) -> str | None:
        """One header of the request, None when it has none of that name."""
        return self._headers.get(key)

    def set_response_header(self, _index: int, key: str, value: str) -> None:
        """Give the response a header, e.g. ``X-Amzn-SageMaker-Custom-Attributes``."""
        self.response_headers[key] = value

    def set_response_content_type(self, index: int, value: str) -> None:
        """Give the response another content type."""
        self.set_response_header(index, "Content-Type", value)

    def set_response_status(self, code: int = 200, phrase: str = "", index: int = 0) -> None:
        """Give the response another status."""
        del phrase, index
        self.response_status = code


def load(model_dir: str, code_dir: str, program: str) -> Invoke:
    """Load a model; what answers a request: (body, content type, accept, attributes) -> (status, type, body)."""
    module = _module(code_dir, program) if program else None
    model_fn = getattr(module, "model_fn", None) or default_model_fn
    model = _call(model_fn, [model_dir], Context(model_dir, {}))
    transform_fn = getattr(module, "transform_fn", None)
    own = {name: getattr(module, name) for name in _HANDLERS if hasattr(module, name)}
    if transform_fn is not None and own:
        raise ValueError(f"an inference script has transform_fn or {', '.join(sorted(own))}, not both")
    defaults = {"input_fn": default_input_fn, "predict_fn": default_predict_fn, "output_fn": default_output_fn}
    handlers = {**defaults, **own}
    usual = getattr(module, "DEFAULT_CONTENT_TYPE", JSON)
    fallback = os.environ.get("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT") or JSON

    def invoke(body: bytes, content_type: str | None, accept: str | None, attributes: dict[str, str]) -> Answer:
        content_type = content_type or usual
        accept = fallback if not accept or accept == "*/*" else accept
        context = Context(model_dir, {"Content-Type": content_type, "Accept": accept, **attributes})
        content = body.decode("utf-8", "replace") if content_type in _TEXT else body
        if transform_fn is not None:
            return _answer(_call(transform_fn, [model, content, content_type, accept], context), accept, context)
        try:
            data = _call(handlers["input_fn"], [content, content_type], context)
        except UnsupportedFormatError as error:
            return _UNSUPPORTED, "text/plain", str(error).encode(), {}
        prediction = _call(handlers["predict_fn"], [data, model], context)
        try:
            return _answer(_call(handlers["output_fn"], [prediction, accept], context), accept, context)
        except UnsupportedFormatError as error:
            return _NOT_ACCEPTABLE, "text/plain", str(error).encode(), {}

    return invoke


def default_model_fn(model_dir: str) -> Any:  # noqa: ANN401 - whatever was pickled
    """The only joblib or pickle file of the model. AWS's image wants a model_fn; this says so."""
    import joblib  # noqa: PLC0415 - only what a model needs is imported

    found = sorted(path for path in Path(model_dir).iterdir() if path.suffix in _PICKLES)
    if len(found) != 1:
        raise FileNotFoundError(
            "the model has no inference script with a model_fn, and not exactly one file to load without it "
            f"(*{', *'.join(_PICKLES)}) but {len(found)}: {', '.join(path.name for path in found) or 'none'}"
        )
    sys.stderr.write(
        f"note: {found[0].name} was loaded without a model_fn; AWS's image needs one in code/inference.py\n"
    )
    return joblib.load(found[0])


def default_input_fn(content: bytes | str, content_type: str) -> Any:  # noqa: ANN401 - an array
    """The body as an array."""
    import numpy as np  # noqa: PLC0415 - only what a model needs is imported

    kind = _kind(content_type)
    if kind == CSV:
        text = content if isinstance(content, str) else content.decode()
        return np.genfromtxt(io.StringIO(text), dtype=np.float32, delimiter=",")
    if kind == JSON:
        return np.array(json.loads(content), dtype=np.float32)
    if kind == NPY:
        return np.load(io.BytesIO(content if isinstance(content, bytes) else content.encode()), allow_pickle=False)
    raise UnsupportedFormatError(f"Content type {content_type} is not supported by this framework.")


def default_predict_fn(data: Any, model: Any) -> Any:  # noqa: ANN401 - arrays and a model of any library
    """The model's predict."""
    return model.predict(data.reshape(1, -1) if getattr(data, "ndim", 2) == 1 else data)


def default_output_fn(prediction: Any, accept: str) -> tuple[bytes | str, str]:  # noqa: ANN401 - an array
    """The prediction as JSON, CSV or NPY."""
    import numpy as np  # noqa: PLC0415 - only what a model needs is imported

    kind = _kind(accept)
    if kind == JSON:
        return json.dumps(np.asarray(prediction).tolist()), JSON
    if kind == CSV:
        stream = io.StringIO()
        np.savetxt(stream, np.asarray(prediction), delimiter=",", fmt="%s")
        return stream.getvalue(), CSV
    if kind == NPY:
        packed = io.BytesIO()
        np.save(packed, np.asarray(prediction), allow_pickle=False)
        return packed.getvalue(), NPY
    raise UnsupportedFormatError(f"Content type {accept} is not supported by this framework.")


def _module(code_dir: str, program: str) -> ModuleType:
    sys.path.insert(0, code_dir)
    path = Path(code_dir, program)
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _call(function: Callable[..., Any], arguments: list[Any], context: Context) -> Any:  # noqa: ANN401 - the script's
    """Call a handler, with the context when it takes one argument more."""
    try:
        inspect.signature(function).bind(*arguments)
    except TypeError:
        return function(*arguments, context)
    return function(*arguments)


def _answer(result: Any, accept: str, context: Context) -> Answer:  # noqa: ANN401 - the script's
    body, content_type = result if isinstance(result, tuple) else (result, accept)
    headers = dict(context.response_headers)
    content_type = headers.pop("Content-Type", content_type)
    parts = isinstance(body, Iterator)
    return context.response_status, content_type, map(_encoded, body) if parts else _encoded(body), headers


def _encoded(body: Any) -> bytes:  # noqa: ANN401 - the script's
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _kind(content_type: str) -> str:
    return content_type.split(";", 1)[0].strip().lower()
