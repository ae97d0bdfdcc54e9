"""The environment variables that lead every AWS client of a process, and of its children, to one account."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import boto3
import botocore.session

from mlops_sm.checks.service import data_loader
from mlops_sm.operations.variables import SDK_VARIABLE, client_variables, sdk_defaults

_NO_PROXY: Final = "127.0.0.1,localhost"
_USERS_DEFAULTS: Final = "SAGEMAKER_USER_CONFIG_OVERRIDE"


def all_variables(url: str, *, account_id: str, region: str, state: Path, folder: Path) -> dict[str, str]:
    """What AWS clients, the SageMaker SDK and our own commands are to find in their environment.

    Args:
        url: The server of the account.
        account_id: The account.
        region: The region of clients that name none.
        state: The state directory of the account.
        folder: Where the files that the variables name are put.
    """
    defaults = folder / "sagemaker.yaml"
    defaults.write_text(sdk_defaults(account_id, region), encoding="utf-8")
    return {
        **client_variables(url, account_id, region),
        "MLOPS_SM_STATE": str(state),
        "MLOPS_SM_LOCAL_ACCOUNT": account_id,
        "MLOPS_SM_LOCAL_REGION": region,
        # The user's own configuration may name profiles, endpoints and ways of addressing that do not fit here.
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        SDK_VARIABLE: str(defaults),
        # Defaults that the SDK would find at home are for other accounts; those of a variable are the caller's wish.
        _USERS_DEFAULTS: os.environ.get(_USERS_DEFAULTS, str(defaults)),
    }


@contextmanager
def set_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """Set these variables, and no other of AWS, until the end; then everything is as it was.

    boto3's default session, which remembers credentials, is a new one meanwhile, as plain as any but for the models of
    services: those it shares with our own sessions, because reading them takes longer than most tests.
    """
    before = dict(os.environ)
    proxies = {name: f"{before[name]},{_NO_PROXY}" if before.get(name) else _NO_PROXY for name in _no_proxy(before)}
    remembered = boto3.DEFAULT_SESSION
    for name in [name for name in before if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update({**variables, **proxies})
    plain = botocore.session.get_session()
    plain.register_component("data_loader", data_loader())
    boto3.DEFAULT_SESSION = boto3.Session(botocore_session=plain)
    touched = {name for name in before if name.startswith("AWS_")} | set(variables) | set(proxies)
    try:
        yield
    finally:
        for name in touched | {name for name in os.environ if name.startswith("AWS_")}:
            os.environ.pop(name, None)
        os.environ.update({name: before[name] for name in touched if name in before})
        boto3.DEFAULT_SESSION = remembered


def _no_proxy(before: Mapping[str, str]) -> tuple[str, ...]:
    """The variables that keep loopback away from proxies, where there are proxies."""
    proxies = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
    return ("no_proxy", "NO_PROXY") if any(before.get(name) for name in proxies) else ()
