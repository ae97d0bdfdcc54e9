"""boto3 clients of the account for its own use: what it sends by itself goes the way of any other request."""

from __future__ import annotations

import threading
from typing import Any

import botocore.session
from botocore.config import Config

from mlops_sm import naming
from mlops_sm.checks.service import data_loader
from mlops_sm.emulator.store import Scope


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
                session = botocore.session.Session()
                session.register_component("data_loader", data_loader())
                self._clients[key] = session.create_client(
                    service,
                    region_name=scope.region,
                    aws_access_key_id=naming.local_access_key(scope.account),
                    aws_secret_access_key="local",  # noqa: S106 - opens nothing anywhere
                    # Whoever sends tries again by rules of its own.
                    config=Config(ignore_configured_endpoint_urls=True, retries={"total_max_attempts": 1}),
                )
            return self._clients[key]
