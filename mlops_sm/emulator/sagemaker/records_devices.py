"""Edge device fleets and the devices registered in them: a register, nothing is sent to a device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from mlops_sm import naming
from mlops_sm.definition.document import Json
from mlops_sm.emulator.errors import invalid
from mlops_sm.emulator.sagemaker.records import (
    INVALID,
    Family,
    describe_record,
    find_record,
    new_record,
    record_of,
    records_below,
)
from mlops_sm.emulator.sagemaker.records_lists import list_records
from mlops_sm.emulator.service import Call, Operation
from mlops_sm.emulator.store import Entity

_DEVICES: Final = "Device"

FLEETS: Final = Family(
    name="DeviceFleet",
    resource="device-fleet",
    what="A register of devices: nothing is packaged for them or sent to them, and IoT has no role aliases here",
    children=(_DEVICES,),
    missing=(INVALID, "No devicefleet with name: {name} was found."),
    refused=("EnableIotRoleAlias",),
    descending=True,
)
_DEVICE: Final = Family(name=_DEVICES, resource="device", what="")


def register_devices(call: Call) -> dict[str, Json]:
    """Register devices in a fleet, all of them or none."""
    with call.store.transaction():
        fleet = find_record(call, FLEETS)
        for device in call.request["Devices"]:
            name = device["DeviceName"]
            path = f"{call.request['DeviceFleetName']}/device/{name}"
            arn = naming.sagemaker_arn(call.scope.region, call.scope.account, "device-fleet", path)
            body = {**device, "DeviceFleetName": fleet.body["DeviceFleetName"]}
            new_record(call, _DEVICE, f"{fleet.body['DeviceFleetName']}/{name}", body, arn=arn)
    return {}


def deregister_devices(call: Call) -> dict[str, Json]:
    """Take devices out of a fleet, all of them or none."""
    with call.store.transaction():
        find_record(call, FLEETS)
        for name in call.request["DeviceNames"]:
            call.store.delete(_device(call, name))
    return {}


def update_devices(call: Call) -> dict[str, Json]:
    """Change what is said of devices, of all of them or none."""
    with call.store.transaction():
        for device in call.request["Devices"]:
            found = _device(call, device["DeviceName"])
            call.store.save(found.with_body(device, modified=call.now()))
    return {}


def describe_device(call: Call) -> dict[str, Json]:
    """A device as it was registered."""
    return _described(_device(call, call.request["DeviceName"]))


def list_devices(call: Call) -> dict[str, Json]:
    """One page of devices; none has models or has ever sent a heartbeat."""
    fleet = call.request.get("DeviceFleetName", "")
    rows = ((device, _described(device)) for device in records_below(call, _DEVICES, fleet))
    filters = {name: lambda _members, _value: False for name in ("ModelName", "LatestHeartbeatAfter")}
    return list_records(call, rows, filters)


def get_device_fleet_report(call: Call) -> dict[str, Json]:
    """How many devices a fleet has; none is ever connected."""
    fleet = find_record(call, FLEETS)
    devices = records_below(call, _DEVICES, fleet.body["DeviceFleetName"])
    return {
        **describe_record(FLEETS, fleet),
        "ReportGenerated": call.now(),
        "DeviceStats": {"ConnectedDeviceCount": 0, "RegisteredDeviceCount": len(devices)},
    }


def _device(call: Call, name: str) -> Entity:
    fleet = call.request["DeviceFleetName"]
    device = record_of(call.store, call.scope, _DEVICES, f"{fleet}/{name}")
    if device is None:
        raise invalid(f"No device with name: {name} was found in devicefleet: {fleet}.")
    return device


def _described(device: Entity) -> dict[str, Json]:
    return {**device.body, "DeviceArn": device.arn, "RegistrationTime": device.created}


OPERATIONS: Final[Mapping[str, Operation]] = {
    "RegisterDevices": register_devices,
    "DeregisterDevices": deregister_devices,
    "UpdateDevices": update_devices,
    "DescribeDevice": describe_device,
    "ListDevices": list_devices,
    "GetDeviceFleetReport": get_device_fleet_report,
}
