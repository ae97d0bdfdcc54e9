"""boto3 clients of the account for its own use: what it sends by itself goes the way of any other request."""

from __future__ import annotations

import threading
from typing import Any

import botocore.session
from botocore.config import Config

from mlops_sm import naming
from mlops_sm.checks.service import data_loader
from mlops_sm.emulator.store import Scope
from mlops_sm.operations.clients import UNCONFIGURED


class Clients:
    """Clients by account, region and service, each made once. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._clients: dict[tuple[Scope, str], Any] = {}

    def __call__(self, scope: Scope, service: str) -> Any:  # noqa: ANN401 - clients are made at run time
        """A client of a service, by endpoint name, that acts for an account in a region."""
        key = (scope, service)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = unconfigured_session().create_client(
                    service,
                    region_name=scope.region,
                    aws_access_key_id=naming.local_access_key(scope.account),
                    aws_secret_access_key="local",  # noqa: S106 - opens nothing anywhere
                    # Whoever sends tries again by rules of its own.
                    config=Config(retries={"total_max_attempts": 1}),
                )
            return self._clients[key]


def unconfigured_session() -> botocore.session.Session:
    """A session without regard to the environment and the user's configuration: they are meant for another account."""
    session = botocore.session.Session(session_vars=UNCONFIGURED)
    session.register_component("data_loader", data_loader())
    session.set_default_client_config(
        Config(ignore_configured_endpoint_urls=True, use_fips_endpoint=False, use_dualstack_endpoint=False)
    )
    return session
