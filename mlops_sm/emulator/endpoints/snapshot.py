"""What an endpoint deploys, as it was when it was created or updated.

An endpoint goes on when its configuration or its models are deleted meanwhile, as the service's does ("DeleteModel
deletes only the model entry"), so it keeps a copy of what it needs to start again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mlops_sm.definition.document import Json
from mlops_sm.local.serving.host import PRIMARY, Container, Variant
from mlops_sm.local.serving.model import ServedModel
from mlops_sm.local.serving.start import Settings

PRODUCTION: Final = "ProductionVariants"
SHADOW: Final = "ShadowProductionVariants"
SEVERAL: Final = "MultiModel"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What an endpoint deploys.

    Attributes:
        body: As it is kept: ``Config``, the configuration's members, and ``Models`` by variant.
    """

    body: Mapping[str, Json]

    @property
    def config(self) -> Mapping[str, Json]:
        """The configuration's members."""
        found: Mapping[str, Json] = self.body["Config"]
        return found

    @property
    def name(self) -> str:
        """The configuration's name."""
        return str(self.config["EndpointConfigName"])

    def with_variants(self, changes: Mapping[str, Mapping[str, Json]]) -> Snapshot:
        """The same with other members of some of its production variants, by name."""
        variants = [{**each, **changes.get(each["VariantName"], {})} for each in self.variants()]
        return Snapshot({**self.body, "Config": {**self.config, PRODUCTION: variants}})

    def variants(self, member: str = PRODUCTION) -> list[Mapping[str, Json]]:
        """The production variants of the configuration, or its shadow variants."""
        return list(self.config.get(member) or [])

    @property
    def capture(self) -> Mapping[str, Json] | None:
        """The configuration's DataCaptureConfig, when it captures."""
        found = self.config.get("DataCaptureConfig")
        return found if found and found.get("EnableCapture", True) else None

    @property
    def asynchronous(self) -> Mapping[str, Json] | None:
        """The configuration's AsyncInferenceConfig."""
        return self.config.get("AsyncInferenceConfig")

    def hosted(self, member: str = PRODUCTION) -> list[Variant]:
        """What is hosted of the variants; one without a model hosts inference components."""
        isolated = bool(self.config.get("EnableNetworkIsolation"))
        return [
            hosted(variant, self.body["Models"][variant["VariantName"]], isolated=isolated)
            for variant in self.variants(member)
            if variant["VariantName"] in self.body["Models"]
        ]

    def summaries(self, now: float, member: str = PRODUCTION) -> list[dict[str, Json]]:
        """The variants as DescribeEndpoint shows them (API reference, ProductionVariantSummary)."""
        return [self._summary(variant, now) for variant in self.variants(member)]

    def _summary(self, variant: Mapping[str, Json], now: float) -> dict[str, Json]:
        model = self.body["Models"].get(variant["VariantName"])
        weight, count = variant.get("InitialVariantWeight", 1.0), variant.get("InitialInstanceCount")
        serverless = variant.get("ServerlessConfig")
        return {
            "VariantName": variant["VariantName"],
            "DeployedImages": None if model is None else [image_of(each, now) for each in model["Containers"]],
            "CurrentWeight": weight,
            "DesiredWeight": weight,
            # "CurrentInstanceCount: the number of instances"; a serverless variant has none, which is shown as 0.
            "CurrentInstanceCount": 0 if serverless else count,
            "DesiredInstanceCount": None if serverless else count,
            "CurrentServerlessConfig": serverless,
            "DesiredServerlessConfig": serverless,
            "ManagedInstanceScaling": variant.get("ManagedInstanceScaling"),
            "RoutingConfig": variant.get("RoutingConfig"),
        }


def hosted(
    variant: Mapping[str, Json], model: Mapping[str, Json], *, isolated: bool = False, copies: int | None = None
) -> Variant:
    """What is hosted of a variant, or of an inference component in so many copies, and its model."""
    serverless = variant.get("ServerlessConfig") or {}
    several = [container.get("Mode") == SEVERAL for container in model["Containers"]]
    return Variant(
        name=variant["VariantName"],
        kind="production variant" if copies is None else "inference component",
        containers=tuple(
            Container(
                name=container_name(container, index, len(model["Containers"])),
                model=ServedModel.of(container),
                several=several[index],
            )
            for index, container in enumerate(model["Containers"])
        ),
        direct=bool(model["Direct"]),
        settings=Settings(
            # A model of many gets one process each.
            workers=1 if any(several) else copies,
            network=not (isolated or model["EnableNetworkIsolation"]),
            startup_seconds=variant.get("ContainerStartupHealthCheckTimeoutInSeconds"),
        ),
        limit=serverless.get("MaxConcurrency"),
    )


def container_name(container: Mapping[str, Json], index: int, count: int) -> str:
    """What the service calls a container: its host name, else ``primary`` or its number."""
    named: str | None = container.get("ContainerHostname")
    return named or (PRIMARY if count == 1 else f"container_{index + 1}")


def image_of(container: Mapping[str, Json], now: float) -> dict[str, Json]:
    """A container's image as DescribeEndpoint shows it. Images are no more than names here, so they have no digest."""
    return {"SpecifiedImage": container["Image"], "ResolvedImage": container["Image"], "ResolutionTime": now}
