"""What leads AWS clients and the SageMaker SDK to a server on this machine: variables, and a file of theirs."""

from __future__ import annotations

from typing import Final

from mlops_sm import naming

SDK_VARIABLE: Final = "SAGEMAKER_ADMIN_CONFIG_OVERRIDE"
"""Names a file of defaults for the SDK; its versions 2 and 3 read the same.

Source: "Configuring and using defaults with the SageMaker Python SDK", SageMaker developer guide.
"""


def client_variables(url: str, account: str, region: str) -> dict[str, str]:
    """Environment variables for any AWS client.

    Args:
        url: The server, e.g. ``http://127.0.0.1:5225``.
        account: The account's 12 digits.
        region: Of clients that name none.
    """
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": naming.local_access_key(account),
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def default_bucket(account: str, region: str) -> str:
    """The bucket that the SDK uses unless it is told another."""
    return f"sagemaker-{region}-{account}"


def sdk_defaults(account: str, region: str) -> str:
    """The content of the SDK's file of defaults.

    No telemetry; and the name of the default bucket, for which the SDK would otherwise ask STS at its address in AWS,
    whatever AWS_ENDPOINT_URL says.
    """
    return f"""\
SchemaVersion: "1.0"
SageMaker:
  PythonSDK:
    Modules:
      TelemetryOptOut: true
      Session:
        DefaultS3Bucket: {default_bucket(account, region)}
"""
