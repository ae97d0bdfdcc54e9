"""Who makes a request, as SageMaker remembers it: the identity that STS tells of the key that signed it."""

from __future__ import annotations

from mlops_sm.definition.document import Json
from mlops_sm.emulator.accounts import credential
from mlops_sm.emulator.arrival import Arrival


def user_context(arrival: Arrival, region: str) -> dict[str, Json]:
    """The caller in the form of CreatedBy, empty when nobody signed the request.

    Source: API reference, UserContext and IamIdentity, "associated with model package groups, model packages, and
    project entities only".

    Args:
        arrival: The request.
        region: Of requests that are not signed.
    """
    _, _, query = arrival.path.partition("?")
    key = credential(arrival.headers, query).key
    if not key:
        return {}
    from moto.sts.models import sts_backends  # noqa: PLC0415 - only what remembers its author needs it

    backend = sts_backends[arrival.account]["aws"]
    principal, arn, _ = backend.get_caller_identity(key, arrival.region or region)
    return {"IamIdentity": {"Arn": arn, "PrincipalId": principal}}
