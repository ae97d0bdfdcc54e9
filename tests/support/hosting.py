"""Models, configurations and endpoints for tests."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"

DOUBLE = """
import json, os
def model_fn(model_dir): return json.load(open(os.path.join(model_dir, "factor.json")))
def input_fn(body, content_type): return [[float(cell) for cell in line.split(",")] for line in body.splitlines()]
def predict_fn(rows, factor): return [sum(row) * factor for row in rows]
def output_fn(sums, accept): return json.dumps(sums), "application/json"
"""
"""A script whose model multiplies the sum of each row."""


def packed(files: Mapping[str, str]) -> bytes:
    """A model archive."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            body = content.encode()
            member = tarfile.TarInfo(name)
            member.size = len(body)
            archive.addfile(member, io.BytesIO(body))
    return stream.getvalue()


class Hosted:
    """Endpoints of a test's account."""

    image = IMAGE
    packed = staticmethod(packed)

    def __init__(self, account: Any) -> None:
        self.account = account

    @property
    def runtime(self) -> Any:
        return self.account.client("sagemaker-runtime")

    def model(
        self, files: Mapping[str, str] | bytes = b"", name: str = "doubler", url: str = "", **members: Any
    ) -> str:
        body = files if isinstance(files, bytes) else packed(files)
        url = url or self.account.put(f"models/{name}.tar.gz", body)
        container = {"Image": IMAGE, "ModelDataUrl": url}
        self.account.sagemaker.create_model(
            ModelName=name,
            ExecutionRoleArn=self.account.role,
            **({"PrimaryContainer": container} if "Containers" not in members else {}),
            **members,
        )
        return name

    def variant(self, name: str = "AllTraffic", model: str | None = "doubler", **members: Any) -> dict[str, Any]:
        sizes = {} if "ServerlessConfig" in members else {"InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
        named = {} if model is None else {"ModelName": model}
        return {"VariantName": name, **named, **sizes, **members}

    def config(self, name: str = "config", *variants: dict[str, Any], **members: Any) -> str:
        self.account.sagemaker.create_endpoint_config(
            EndpointConfigName=name, ProductionVariants=list(variants) or [self.variant()], **members
        )
        return name

    def create(self, name: str = "mine", config: str = "config", **members: Any) -> dict[str, Any]:
        self.account.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=config, **members)
        return self.ready(name)

    def serve(self, name: str = "mine", factor: float = 2, **members: Any) -> dict[str, Any]:
        """An endpoint whose model multiplies the sum of each row."""
        self.model({"code/inference.py": DOUBLE, "factor.json": str(factor)})
        self.config(**members)
        return self.create(name)

    def described(self, name: str = "mine") -> dict[str, Any]:
        found: dict[str, Any] = self.account.sagemaker.describe_endpoint(EndpointName=name)
        return found

    def ready(self, name: str = "mine") -> dict[str, Any]:
        """Its description once nothing goes on any more."""
        self.account.until(lambda: self.described(name)["EndpointStatus"] in {"InService", "Failed"}, "the endpoint")
        return self.described(name)

    def gone(self, name: str = "mine") -> None:
        def is_gone() -> bool:
            try:
                self.described(name)
            except ClientError:
                return True
            return False

        self.account.until(is_gone, "the end of the endpoint")

    def invoke(self, name: str, body: str | bytes, **members: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.runtime.invoke_endpoint(
            EndpointName=name, Body=body, **{"ContentType": "text/csv", **members}
        )
        return answer

    def said(self, name: str, body: str | bytes, **members: Any) -> str:
        text: str = self.invoke(name, body, **members)["Body"].read().decode()
        return text

    def refused(self, name: str, body: str | bytes, **members: Any) -> tuple[str, str]:
        with pytest.raises(ClientError) as refused:
            self.invoke(name, body, **members)
        error = refused.value.response["Error"]
        return error["Code"], error["Message"]
