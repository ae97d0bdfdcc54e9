"""The local account: a state directory, opened by one process, that answers as an AWS account does."""

from __future__ import annotations

import json
import os
import secrets
import string
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import boto3

from mlops_sm import naming
from mlops_sm.checks.service import sagemaker_model
from mlops_sm.emulator import log_reads
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.backends.keeper import Keeper
from mlops_sm.emulator.bridge import Bridge
from mlops_sm.emulator.callbacks import Callbacks
from mlops_sm.emulator.clients import Clients, unconfigured_session
from mlops_sm.emulator.clock import Clock, keep_ahead, utc_now
from mlops_sm.emulator.control import DirectControl
from mlops_sm.emulator.database import FILE_NAME, Database
from mlops_sm.emulator.endpoints import requests as runtime_requests
from mlops_sm.emulator.endpoints.logs import EndpointLogs
from mlops_sm.emulator.endpoints.wiring import EndpointWork
from mlops_sm.emulator.errors import UnsavedError
from mlops_sm.emulator.events.wiring import EventWork
from mlops_sm.emulator.faults import Faults
from mlops_sm.emulator.front import AccountFront, Amend, Intercept
from mlops_sm.emulator.jobs import Jobs
from mlops_sm.emulator.lock import StateLock
from mlops_sm.emulator.logs import JobLogs, Logs
from mlops_sm.emulator.protocol import Answer
from mlops_sm.emulator.queues import Queues
from mlops_sm.emulator.recovery import close_abandoned
from mlops_sm.emulator.removal import Removal
from mlops_sm.emulator.runner import Executions
from mlops_sm.emulator.sagemaker import OPERATIONS, metrics, tags_resources
from mlops_sm.emulator.sagemaker.lineage_records import LineageRecorder
from mlops_sm.emulator.server.control import Control
from mlops_sm.emulator.server.endpoint import LOOPBACK, Endpoint
from mlops_sm.emulator.service import Service
from mlops_sm.emulator.sites import Sites
from mlops_sm.emulator.storage import Storage
from mlops_sm.emulator.store import Scope, Store
from mlops_sm.emulator.timing.wiring import TimeWork
from mlops_sm.errors import Problem, RefusedError
from mlops_sm.local.images import ImageTable
from mlops_sm.local.isolation.choice import choose
from mlops_sm.local.isolation.layer import Isolation
from mlops_sm.local.preflight import preflight
from mlops_sm.local.user_handlers import UserHandlers
from mlops_sm.local.warm import WarmWorkers
from mlops_sm.operations.resources import FULL_ACCESS, POLICY_NAME, TRUST

Client = Any
"""A boto3 client."""

_PATIENCE: Final = 5.0
_ALPHABET: Final = string.ascii_lowercase + string.digits


def random_id(length: int) -> str:
    """So many random characters of [a-z0-9], as the service's ids are made of."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


class LocalAccount:
    """An open account; made by `open`, ended by `close` or by leaving it as a context manager.

    Clients come from `session` and `client`. A client that was made before the first account of this process was opened
    knows nothing of it and still goes to AWS.

    Attributes:
        state: The state directory.
        account_id: The account's 12 digits.
        region: Of clients that name none.
        clock: The account's time; `advance` lets it pass.
        faults: What is to go wrong, for tests; nothing unless somebody plants it.
        warm: The warm workers; `prewarm` starts one before it is needed.
    """

    def __init__(
        self,
        state: Path,
        scope: Scope,
        storage: Storage,
        warm: WarmWorkers,
        end: Callable[[], None],
        *,
        clock: Clock,
        faults: Faults,
        endpoint: Endpoint,
        work: EventWork,
        endpoints: EndpointWork,
    ) -> None:
        """Use `open`."""
        self.state = state
        self.account_id, self.region = scope
        self.clock = clock
        self.faults = faults
        self.warm = warm
        self._storage = storage
        self._endpoint = endpoint
        self._work = work
        self._endpoints = endpoints
        self._end: Callable[[], None] | None = end
        self._clients: dict[tuple[str, str], Client] = {}
        self._lock = threading.Lock()

    @classmethod
    def open(
        cls,
        state: Path,
        *,
        account_id: str = naming.LOCAL_ACCOUNT_ID,
        region: str = naming.DEFAULT_REGION,
        images: Mapping[str, str | Mapping[str, str]] | None = None,
        handlers: UserHandlers | None = None,
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[int], str] = random_id,
        isolation: Isolation | None = None,
        warm: WarmWorkers | None = None,
        parallel_jobs: int | None = None,
        patience: float = _PATIENCE,
    ) -> Self:
        """Open the account of a state directory; a missing or empty one is an empty account.

        Args:
            state: The directory; ``account.db``, ``objects/``, ``jobs/`` and ``lock`` are in it.
            account_id: The account's 12 digits.
            region: Of clients that name none.
            images: Lines of the image table, e.g. ``{"my-image": "python"}``.
            handlers: Functions of the user that stand in for kinds of steps that do not run here.
            clock: The time that is reported, timezone-aware: a clock, or what a clock of its own goes by. By how much
                the account was advanced before is added to it.
            new_id: So many random characters of [a-z0-9].
            isolation: Gives jobs their own /opt/ml; the machine's own layer when absent. Closed with the account.
            warm: Workers that were started before; closed with the account, also when opening it fails.
            parallel_jobs: How many jobs run at once, of all accounts and regions; the others wait for their turn. By
                default as many as there are cores, and at least 2, so that a job may wait for one that it started.
            patience: Seconds that running jobs get to end by themselves when the account is closed.

        Raises:
            RefusedError: E540, another process owns the directory; E541, it cannot be used; E542, its database is
                damaged; E543, another version wrote it; E544, an account is open in this process.
            InputError: E410, an image stands for something unknown.
        """
        parallel_jobs = parallel_jobs or max(os.cpu_count() or 1, 2)
        warm = warm or WarmWorkers(parallel_jobs=parallel_jobs)
        closing = ExitStack()
        closing.callback(warm.close)
        try:
            table = ImageTable.of(images or {})
            scope = Scope(account_id, region)
            closing.callback(StateLock.acquire(state).release)
            # SQLite removes its log when a database is closed: one that is there was left by an owner that died.
            crashed = (state / f"{FILE_NAME}-wal").exists()
            database = Database(state / FILE_NAME)
            closing.callback(database.close)
            time = clock if isinstance(clock, Clock) else Clock(clock)
            closing.callback(time.close)
            keep_ahead(time, database)
            keeper = Keeper(database)
            storage = Storage(database, state / "objects", keeper, crashed=crashed)
            store = Store(database)
            faults = Faults()
            control = Control(state=state, home=scope, store=store, clock=time, faults=faults, started=utc_now())
            endpoint = Endpoint(lambda *request: front.answer(*request), control, patience)  # noqa: PLW0108 - made below
            sites = Sites(
                state=state,
                home=scope,
                storage=storage,
                isolation=isolation or choose(),
                warm=warm,
                images=table,
                handlers=handlers or UserHandlers(),
                clock=time,
                endpoint=endpoint.serve,
                faults=faults,
            )
            front, work, timing, endpoints, end_work = _control_plane(store, sites, new_id, parallel_jobs, patience)
            bridge = Bridge(account_id, front)
            bridge.enter()
            closing.callback(bridge.leave)
            keeper.attach()
            closing.callback(keeper.detach)
            closing.callback(storage.detach)
            # Backwards: jobs may call the account to their end, then nobody; what was begun meanwhile ends, too.
            closing.callback(end_work)
            closing.callback(endpoint.close)
            closing.callback(end_work)
            work.begin()
            timing.begin()
            endpoints.begin()
            return cls(
                state,
                scope,
                storage,
                sites.warm,
                closing.close,
                clock=time,
                faults=faults,
                endpoint=endpoint,
                work=work,
                endpoints=endpoints,
            )
        except BaseException:
            closing.close()
            raise

    def serve(self, port: int = 0, host: str = LOOPBACK) -> str:
        """Answer over HTTP too; a server that listens already is the one.

        Args:
            port: The port; 0 takes a free one.
            host: The address to bind. Whoever reaches the port runs code as this user: leave it to loopback.

        Returns:
            The URL for AWS_ENDPOINT_URL, e.g. ``http://127.0.0.1:49152``.

        Raises:
            RefusedError: E546, the port or the address cannot be had; E547, it listens on another port already.
        """
        return self._endpoint.serve(port, host)

    @property
    def endpoint_url(self) -> str:
        """What AWS_ENDPOINT_URL is for clients of other processes; served on a free port when first asked for."""
        return self._endpoint.serve()

    def settle(self, patience: float = 60.0) -> bool:
        """Wait until every event, notification and asynchronous call that is due was delivered, functions included.

        Endpoints have then done what was asked of them, and what was observed of them is written down.

        Args:
            patience: At most so many seconds.

        Returns:
            Whether nothing is left that is due now.
        """
        self._endpoints.settle(patience)
        return self._work.deliveries.settle(patience)

    def session(self, region: str | None = None) -> boto3.Session:
        """A plain boto3 session: SageMaker is ours, every other service moto's, nothing reaches the network."""
        return boto3.Session(
            aws_access_key_id=naming.local_access_key(self.account_id),
            aws_secret_access_key="local",  # noqa: S106 - opens nothing anywhere
            region_name=region or self.region,
            botocore_session=unconfigured_session(),
        )

    def client(self, service: str, region: str | None = None) -> Client:
        """A boto3 client, made once per service and region."""
        key = (service, region or self.region)
        with self._lock:
            if key not in self._clients:
                self._clients[key] = self.session(key[1]).client(service)
            return self._clients[key]

    def ensure_role(self, arn: str) -> None:
        """Make an execution role unless it exists.

        Args:
            arn: ``arn:aws:iam::ACCOUNT:role/PATH/NAME``.

        Raises:
            RefusedError: E541, the disk refused.
        """
        from moto.iam.models import iam_backends  # noqa: PLC0415 - 0.1 s and 25 MB that not every command needs

        resource = arn.split(":role/", 1)[1]
        path, _, name = resource.rpartition("/")
        with self._saved(f"the role {name}"), self._storage.keeper.changing():
            roles = iam_backends[arn.split(":")[4]][naming.partition(self.region)]
            if name not in {role.name for role in roles.roles.values()}:
                role = roles.create_role(
                    role_name=name,
                    assume_role_policy_document=json.dumps(TRUST),
                    path=f"/{path}/" if path else "/",
                    permissions_boundary=None,
                    description="",
                    tags=[],
                    max_session_duration="3600",
                )
                role.put_policy(POLICY_NAME, json.dumps(FULL_ACCESS))

    def ensure_bucket(self, name: str, *, versioned: bool = True) -> None:
        """Make a bucket unless it exists; `versioned` also turns versions on for one that exists.

        Raises:
            RefusedError: E541, the disk refused.
        """
        with self._saved(f"the bucket {name}"):
            self._storage.mirror().ensure_bucket(name, account=self.account_id, region=self.region, versioned=versioned)

    @contextmanager
    def _saved(self, what: str) -> Iterator[None]:
        try:
            yield
        except UnsavedError as error:
            problem = f"{what} could not be saved: {error}"
            raise RefusedError(
                Problem("E541", str(self.state), problem, "Make room on the disk and try again.")
            ) from error

    def close(self) -> None:
        """Stop what runs, let go of the directory and give botocore back; a second call does nothing."""
        end, self._end = self._end, None
        if end is not None:
            end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _iam(arrival: Arrival, region: str) -> Answer | None:
    from mlops_sm.emulator.iam.requests import IamRequests  # noqa: PLC0415 - 0.1 s and 25 MB of moto's

    return IamRequests(region)(arrival)


def _control_plane(
    store: Store, sites: Sites, new_id: Callable[[int], str], parallel_jobs: int, patience: float
) -> tuple[AccountFront, EventWork, TimeWork, EndpointWork, Callable[[], None]]:
    """SageMaker over a store, what it sets off, and what ends its work."""
    store.listen(LineageRecorder(store))
    work = EventWork(
        store,
        sites.clock,
        changing=sites.storage.keeper.changing,
        sagemaker=lambda scope, operation, request: control(scope).call(operation, request),
        endpoint=sites.endpoint,
        folder=sites.state / "functions",
        region=sites.home.region,
    )
    timing = TimeWork(
        store.database, sites.clock, work.deliveries, changing=sites.storage.keeper.changing, new_id=new_id
    )

    def first(arrival: Arrival) -> Answer | None:
        endpoints.observation.before(arrival)
        return timing.intercept(arrival) or work.intercept(arrival)

    sites.storage.tell(work.storage)
    close_abandoned(store, sites.clock().timestamp())
    jobs = Jobs(store, sites.site, sites.clock, limit=parallel_jobs)
    endpoints = EndpointWork(store, sites, new_id)
    callbacks, queues, removal = Callbacks(store, sites.clock), Queues(Clients()), Removal()

    def control(scope: Scope, step: str = "") -> DirectControl:
        perform = partial(front.perform, step=step)
        return DirectControl(scope, sagemaker_model, perform, jobs, callbacks, queues.send, work.call, removal)

    executions = Executions(
        store,
        sites.storage.objects,
        control,
        callbacks,
        clock=sites.clock,
        new_id=new_id,
        handlers=sites.handlers,
    )
    service = Service(
        store=store,
        objects=sites.storage.objects,
        jobs=jobs,
        executions=executions,
        callbacks=callbacks,
        hosting=endpoints.hosting,
        components=endpoints.components,
        observation=endpoints.observation,
        faults=sites.faults,
        preflight=lambda definition, values: preflight(
            definition, values, sites.images, sites.isolation, sites.handlers
        ),
        clock=sites.clock,
        new_id=new_id,
    )
    region = sites.home.region
    intercepts: dict[str, Intercept] = {
        log_reads.SERVICE: log_reads.LogReads(Logs((JobLogs(store, sites.log), EndpointLogs(sites.endpoints))), region),
        "iam": lambda arrival: _iam(arrival, region),
        metrics.SERVICE: metrics.MetricsFront(store, sites.clock, region),
        runtime_requests.SERVICE: endpoints.requests,
    }
    amends: dict[str, Amend] = {}
    front = AccountFront(service, OPERATIONS, sites.storage, region, intercepts, first=first, amends=amends)
    tagged = tags_resources.TaggedResources(store, front.perform, region)
    intercepts[tags_resources.SERVICE], amends[tags_resources.SERVICE] = tagged, tagged.amend

    def end_work() -> None:
        # First: alarms are still there for what was observed of requests.
        endpoints.close(watched=timing.has_alarms)
        timing.close()
        work.close()
        executions.stop_all()
        jobs.stop_all()
        ended = jobs.wait_all(patience)
        # Whatever still runs dies with the processes that started it.
        sites.warm.close()
        sites.isolation.close()
        if not ended:
            jobs.wait_all(None)
        executions.wait_all()
        # A job on its way when the first close came may have started a launcher of its own.
        sites.isolation.close()

    return front, work, timing, endpoints, end_work
