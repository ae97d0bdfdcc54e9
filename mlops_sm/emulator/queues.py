"""Messages of the pipeline service to queues of SQS, sent as a client of the queue's account would."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError

from mlops_sm.emulator.clients import Clients
from mlops_sm.emulator.store import Scope
from mlops_sm.local.handlers import ServiceError

_HOST: Final = re.compile(r"(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.amazonaws\.com")
_ACCOUNT: Final = re.compile(r"\d{12}")


class Queues:
    """Sends messages.

    Args:
        clients: Of SQS.
    """

    def __init__(self, clients: Clients) -> None:
        self._clients = clients

    def send(self, scope: Scope, queue_url: str, body: str) -> None:
        """Send a message.

        Args:
            scope: Whose pipeline sends it, for a URL that names neither account nor region.
            queue_url: The queue.
            body: The message.

        Raises:
            ServiceError: SQS refused it.
        """
        try:
            self._clients(_owner(scope, queue_url), "sqs").send_message(QueueUrl=queue_url, MessageBody=body)
        except ClientError as error:
            told = error.response["Error"]
            raise ServiceError(told["Code"], told["Message"]) from error
        except BotoCoreError as error:
            raise ServiceError("InvalidAddress", f"{queue_url} is no address of a queue: {error}") from error


def _owner(scope: Scope, queue_url: str) -> Scope:
    """The account and region of a queue, as far as its URL says."""
    url = urlsplit(queue_url)
    host = _HOST.fullmatch(url.hostname or "")
    region = (host[1] or host[2]) if host is not None else scope.region
    account = url.path.strip("/").split("/")[0]
    return Scope(account if _ACCOUNT.fullmatch(account) else scope.account, region)
