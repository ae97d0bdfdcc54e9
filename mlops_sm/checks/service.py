"""The service models that botocore ships: the only place of this room that knows botocore."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from mlops_sm.definition.document import Json

# botocore has no types: these names say what is meant.
Shape = Any
"""A ``botocore.model.Shape``."""
ServiceModel = Any
"""A ``botocore.model.ServiceModel``."""
DataLoader = Any
"""A ``botocore.loaders.Loader``."""
ShapeResolver = Any
"""A ``botocore.model.ShapeResolver``."""


def sagemaker_model() -> ServiceModel:
    """SageMaker's model; about 0.1 s the first time."""
    return service_model("sagemaker")


@cache
def service_model(service: str) -> ServiceModel:
    """A service's model, loaded once per process."""
    from botocore import model  # noqa: PLC0415 - who checks nothing must not pay for the import

    return model.ServiceModel(data_loader().load_service_model(service, "service-2"), service)


@cache
def data_loader() -> DataLoader:
    """The loader of botocore's data files; a client that is made with it shares the parsed models (17 MB)."""
    from botocore import loaders  # noqa: PLC0415 - see service_model

    return loaders.create_loader()


def resolver(shapes: Mapping[str, Json]) -> ShapeResolver:
    """A resolver over shapes of our own, so that one walker checks them all."""
    from botocore import model  # noqa: PLC0415 - see service_model

    return model.ShapeResolver(dict(shapes))
