"""Which instances a training job has, how they are grouped, and which of its data each of them gets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from mlops_sm.definition.document import Json
from mlops_sm.local.jobs.folder import host_names

_GROUP: Final = "homogeneousCluster"
"""The group of a job that asks for none (developer guide, "Configure a heterogeneous cluster")."""
_SHARDED: Final = "ShardedByS3Key"


class Group(NamedTuple):
    """One group of instances; its hosts sorted as everywhere."""

    name: str
    instance_type: str
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Layout:
    """The instances of a training job.

    Attributes:
        groups: At least one, in the order of the request.
    """

    groups: tuple[Group, ...]

    @classmethod
    def of(cls, resources: Mapping[str, Json]) -> Layout:
        """The layout of a ResourceConfig: hosts are numbered through the groups.

        Raises:
            JobFailureError: So many instances cannot be told apart here, or there are none.
        """
        wanted = [
            (group["InstanceGroupName"], group["InstanceType"], group["InstanceCount"])
            for group in resources.get("InstanceGroups") or []
        ] or [(_GROUP, *_instances(resources))]
        # Numbered before they are sorted: the tenth host is not the second.
        numbered = sorted(
            host_names(sum(count for _, _, count in wanted)), key=lambda host: int(host.rpartition("-")[2])
        )
        groups = []
        for name, instance_type, count in wanted:
            groups.append(Group(name, instance_type, tuple(sorted(numbered[:count]))))
            numbered = numbered[count:]
        return cls(tuple(groups))

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host, sorted lexicographically; ``algo-1`` comes first."""
        return tuple(sorted(host for group in self.groups for host in group.hosts))

    def resource_config(self, host: str) -> dict[str, Json]:
        """``resourceconfig.json`` of a host."""
        own = next(group for group in self.groups if host in group.hosts)
        return {
            "current_host": host,
            "current_instance_type": own.instance_type,
            "current_group_name": own.name,
            "hosts": list(self.hosts),
            "instance_groups": [
                {"instance_group_name": group.name, "instance_type": group.instance_type, "hosts": list(group.hosts)}
                for group in self.groups
            ],
            "network_interface_name": "eth0",
        }

    def share(self, source: Mapping[str, Json], host: str) -> tuple[int, int] | None:
        """Which of how many parts of an S3DataSource a host gets; None when its group gets nothing of it."""
        names = source.get("InstanceGroupNames")
        served = sorted(host for group in self.groups for host in group.hosts if not names or group.name in names)
        if host not in served:
            return None
        return (served.index(host), len(served)) if source.get("S3DataDistributionType") == _SHARDED else (0, 1)


def instance_count(resources: Mapping[str, Json]) -> int:
    """How many instances a ResourceConfig or a ClusterConfig asks for, all groups together."""
    groups = resources.get("InstanceGroups")
    return sum(group["InstanceCount"] for group in groups) if groups else _instances(resources)[1]


def _instances(resources: Mapping[str, Json]) -> tuple[str, int]:
    """Type and number; of several kinds that may be had, the first one is."""
    choice: Mapping[str, Json] = next(iter(resources.get("InstancePreferences") or []), {})
    count = choice.get("InstanceCount", resources.get("InstanceCount", 1))
    return choice.get("InstanceType") or resources.get("InstanceType", "local"), count
