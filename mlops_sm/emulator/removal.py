"""What the pipeline service deletes in S3, as a client of the account would."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from mlops_sm import naming
from mlops_sm.emulator.clients import Clients
from mlops_sm.emulator.store import Scope
from mlops_sm.local.handlers import ServiceError


class Removal:
    """Deletes objects."""

    def __init__(self) -> None:
        self._clients = Clients()

    def __call__(self, scope: Scope, uri: str, folder: bool) -> None:
        """Delete an object, or everything under a prefix; what is not there is deleted already.

        Raises:
            ServiceError: S3 refused, or the URI is none.
        """
        try:
            place = naming.parse_s3_uri(uri)
        except ValueError as error:
            raise ServiceError("ValidationException", str(error)) from error
        s3 = self._clients(scope, "s3")
        try:
            if not folder:
                s3.delete_object(Bucket=place.bucket, Key=place.key)
                return
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=place.bucket, Prefix=place.key):
                for found in page.get("Contents") or []:
                    s3.delete_object(Bucket=place.bucket, Key=found["Key"])
        except ClientError as error:
            told = error.response["Error"]
            raise ServiceError(told["Code"], told["Message"]) from error
        except BotoCoreError as error:
            raise ServiceError("ValidationException", f"{uri} is no address of an object: {error}") from error
