"""An account's endpoints put together: what runs them, what answers their requests, what is kept of those."""

from __future__ import annotations

import random
from collections.abc import Callable

from mlops_sm.emulator.clients import Clients
from mlops_sm.emulator.endpoints.asynchronous import Asynchronous
from mlops_sm.emulator.endpoints.background import Background
from mlops_sm.emulator.endpoints.capture import Captures
from mlops_sm.emulator.endpoints.components import Components
from mlops_sm.emulator.endpoints.hosting import Hosting
from mlops_sm.emulator.endpoints.invocations import Invocations
from mlops_sm.emulator.endpoints.measures import Measures
from mlops_sm.emulator.endpoints.observation import Observation
from mlops_sm.emulator.endpoints.recovery import close_abandoned
from mlops_sm.emulator.endpoints.requests import RuntimeRequests
from mlops_sm.emulator.endpoints.shadows import Shadows
from mlops_sm.emulator.sites import Sites
from mlops_sm.emulator.store import Store


class EndpointWork:
    """An account's endpoints. Nothing of it costs anything before there is one.

    Attributes:
        hosting: Runs them.
        components: Runs inference components.
        requests: Answers SageMaker Runtime's requests.
        observation: What is kept of requests, and of training jobs.

    Args:
        store: Where the records are.
        sites: Where endpoints run.
        new_id: So many random characters of [a-z0-9].
        draw: A number from 0 to 1, without 1, that decides who gets a request and what is captured.
    """

    def __init__(
        self,
        store: Store,
        sites: Sites,
        new_id: Callable[[int], str],
        draw: Callable[[], float] = random.random,
    ) -> None:
        close_abandoned(store, sites.clock().timestamp())
        clients = Clients()
        self.observation = Observation(
            Measures(clients, sites.clock, sites.state / "endpoints" / ".measured"),
            Captures(lambda scope: sites.site(scope).store, sites.state / "endpoints" / ".captured", sites.clock),
        )
        self._background = Background(sites.clock)
        place = (store, sites.site, sites.endpoints, sites.clock, self._background)
        self.hosting = Hosting(*place, client=clients, new_id=new_id, draw=draw)
        self.components = Components(*place, new_id=new_id)
        self._shadows = Shadows(draw, self._background)
        invocations = Invocations(self.hosting, self.components, self.observation, self._shadows)
        self._asynchronous = Asynchronous(
            invocations,
            sites,
            client=clients,
            observation=self.observation,
            background=self._background,
        )
        self.requests = RuntimeRequests(invocations, self._asynchronous, sites.home.region)
        self._state = sites.state / "endpoints"
        self._closed = False
        # What alarms look at as time passes is what was observed until then.
        sites.clock.settle_with(self.observation.write)

    def begin(self) -> None:
        """Go on with asynchronous requests that waited when the account was closed."""
        self._asynchronous.begin(self._state)

    def settle(self, patience: float) -> None:
        """Wait so long until endpoints have done what was asked of them, and write down what was observed."""
        self._background.moments.settle(patience)
        self.observation.write()

    def close(self, *, watched: bool) -> None:
        """End every endpoint and write down what was observed; a second call does nothing.

        Args:
            watched: Whether anybody looks at metrics.
        """
        if not self._closed:
            self._closed = True
            self._background.close()
            self._asynchronous.close()
            self._shadows.close()
            self.hosting.close()
            self.components.close()
            self.observation.close(watched=watched)
