"""Names of services against botocore's models and moto's URLs."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import botocore.loaders
import pytest
from botocore.model import ServiceId
from moto.backend_index import backend_url_patterns

from mlops_sm.emulator import service_names
from mlops_sm.emulator.arrival import Arrival
from mlops_sm.emulator.moto_requests import _aws_host
from mlops_sm.emulator.server.routes import rest_operation

IN_MOTO_ONLY = {"instance_metadata", "moto_api._internal"}


@cache
def metadata() -> dict[str, dict[str, Any]]:
    loader = botocore.loaders.create_loader()
    names = loader.list_available_services("service-2")
    return {name: loader.load_service_model(name, "service-2")["metadata"] for name in names}


def signing_name(folder: str) -> str:
    found = metadata()[folder]
    return str(found.get("signingName", found["endpointPrefix"]))


def moto_services(folder: str) -> set[str]:
    arrival = Arrival(service_names.service_id(folder), "", "123456789012", "us-east-1", "GET", "/", {}, bytes)
    url = f"http://{_aws_host(arrival, 'us-east-1')}/"
    return {name for name, pattern in backend_url_patterns if pattern.match(url)}


def test_every_name_in_the_tables_is_botocores() -> None:
    for signed, folders in service_names._FOLDERS.items():
        assert [signing_name(folder) for folder in folders] == [signed] * len(folders)
    for folder, service in service_names._IDS.items():
        assert ServiceId(metadata()[folder]["serviceId"]).hyphenize() == service


def test_every_service_of_motos_is_found_by_its_names() -> None:
    reached = set()
    for folder in metadata():
        services = moto_services(folder)
        reached |= services
        own = {re.sub("[^a-z0-9]", "", name.removeprefix("aws")) for name in services}
        if re.sub("[^a-z0-9]", "", folder) not in own:
            # Another service at the same address, which botocore knows and moto does not.
            continue
        assert folder in service_names.folders(signing_name(folder)), folder
        assert service_names.service_id(folder) == ServiceId(metadata()[folder]["serviceId"]).hyphenize()
        assert service_names.folder_of(service_names.service_id(folder)) == folder
    assert {name for name, _ in backend_url_patterns} - reached == IN_MOTO_ONLY


@pytest.mark.parametrize(
    ("folder", "method", "target", "headers", "operation"),
    [
        ("s3", "GET", "/", "", "ListBuckets"),
        ("s3", "PUT", "/b", "", "CreateBucket"),
        ("s3", "GET", "/b?list-type=2&prefix=x", "", "ListObjectsV2"),
        ("s3", "GET", "/b/?versions", "", "ListObjectVersions"),
        ("s3", "PUT", "/b/k/with/more", "", "PutObject"),
        ("s3", "PUT", "/b/k", "x-amz-copy-source", "CopyObject"),
        ("s3", "PUT", "/b/k?partNumber=1&uploadId=u", "", "UploadPart"),
        ("s3", "PUT", "/b/k?partNumber=1&uploadId=u", "x-amz-copy-source", "UploadPartCopy"),
        ("s3", "POST", "/b/k?uploads", "", "CreateMultipartUpload"),
        ("s3", "POST", "/b/k?uploadId=u", "", "CompleteMultipartUpload"),
        ("s3", "DELETE", "/b/k?uploadId=u", "", "AbortMultipartUpload"),
        ("s3", "DELETE", "/b/k?versionId=v", "", "DeleteObject"),
        ("s3", "GET", "/b/k?versionId=v&x-id=GetObject", "", "GetObject"),
        ("s3", "GET", "/b/k?tagging", "", "GetObjectTagging"),
        ("s3", "HEAD", "/b/k", "", "HeadObject"),
        ("s3", "HEAD", "/b", "", "HeadBucket"),
        ("s3", "POST", "/b?delete", "", "DeleteObjects"),
        ("s3", "PATCH", "/b/k", "", ""),
        ("lambda", "POST", "/2015-03-31/functions/f/invocations", "", "Invoke"),
        ("lambda", "GET", "/2015-03-31/functions/", "", "ListFunctions"),
        ("lambda", "GET", "/2015-03-31/functions/f", "", "GetFunction"),
        ("lambda", "GET", "/2017-03-31/tags/arn%3Aaws%3Alambda%3Aus-east-1%3A1%3Afunction%3Af", "", "ListTags"),
        ("scheduler", "POST", "/schedules/s", "", "CreateSchedule"),
        ("sagemaker-runtime", "POST", "/endpoints/e/invocations", "", "InvokeEndpoint"),
        ("sagemaker-metrics", "PUT", "/BatchPutMetrics", "", "BatchPutMetrics"),
        ("sagemaker-featurestore-runtime", "GET", "/FeatureGroup/g?RecordIdentifierValueAsString=1", "", "GetRecord"),
    ],
)
def test_an_operation_of_a_rest_protocol_is_told_from_its_request(
    folder: str, method: str, target: str, headers: str, operation: str
) -> None:
    path, _, query = target.partition("?")
    given = {name: "x" for name in headers.split()}
    assert rest_operation(folder, method, path, query, given) == operation
