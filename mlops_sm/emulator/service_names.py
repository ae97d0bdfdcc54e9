"""Services by the names they go by: what a request is signed for, botocore's folder and botocore's id.

botocore's events call a service by its id (``cloudwatch-logs``); a signature has only the name it signs with
(``logs``), which some services share. The tables hold what differs, for every service that somebody here answers;
``tests/contract`` compares them with botocore's models.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final

from mlops_sm.checks.service import data_loader

SAGEMAKER: Final = "sagemaker"

_FOLDERS: Final[Mapping[str, tuple[str, ...]]] = {
    "access-analyzer": ("accessanalyzer",),
    "aidevops": ("devops-agent",),
    "aoss": ("opensearchserverless",),
    "apigateway": ("apigateway", "apigatewayv2"),
    "aps": ("amp",),
    "aws-marketplace": ("meteringmarketplace",),
    "bedrock": ("bedrock", "bedrock-agent", "bedrock-runtime"),
    "bedrock-agentcore": ("bedrock-agentcore", "bedrock-agentcore-control"),
    "cloudhsm": ("cloudhsmv2",),
    "connect-campaigns": ("connectcampaigns",),
    "dynamodb": ("dynamodb", "dynamodbstreams"),
    "elasticfilesystem": ("efs",),
    "elasticloadbalancing": ("elbv2", "elb"),
    "elasticmapreduce": ("emr",),
    "es": ("es", "opensearch"),
    "execute-api": ("apigatewaymanagementapi",),
    "iotdata": ("iot-data",),
    "kinesisanalytics": ("kinesisanalyticsv2",),
    "kinesisvideo": ("kinesisvideo", "kinesis-video-archived-media"),
    "lex": ("lexv2-models",),
    "mediastore": ("mediastore", "mediastore-data"),
    "mobiletargeting": ("pinpoint",),
    "monitoring": ("cloudwatch",),
    "s3": ("s3", "s3control"),
    "sagemaker": (
        "sagemaker",
        "sagemaker-runtime",
        "sagemaker-metrics",
        "sagemaker-featurestore-runtime",
        "sagemaker-a2i-runtime",
        "sagemaker-edge",
        "sagemaker-inference-router-runtime",
        "sagemakerjobruntime",
        "sagemakertrainingsessionruntime",
    ),
    "servicecatalog": ("servicecatalog", "servicecatalog-appregistry"),
    "servicequotas": ("service-quotas",),
    "ses": ("ses", "sesv2"),
    "sso": ("sso-admin",),
    "states": ("stepfunctions",),
    "tagging": ("resourcegroupstaggingapi",),
    "timestream": ("timestream-query", "timestream-write"),
}
"""Folders of botocore's models by signing name, where the folder is not the name."""

_IDS: Final[Mapping[str, str]] = {
    "apigateway": "api-gateway",
    "application-autoscaling": "application-auto-scaling",
    "appmesh": "app-mesh",
    "autoscaling": "auto-scaling",
    "ce": "cost-explorer",
    "cloudhsmv2": "cloudhsm-v2",
    "cognito-idp": "cognito-identity-provider",
    "config": "config-service",
    "datapipeline": "data-pipeline",
    "directconnect": "direct-connect",
    "dms": "database-migration-service",
    "ds": "directory-service",
    "dynamodbstreams": "dynamodb-streams",
    "elasticbeanstalk": "elastic-beanstalk",
    "elb": "elastic-load-balancing",
    "elbv2": "elastic-load-balancing-v2",
    "es": "elasticsearch-service",
    "events": "eventbridge",
    "iot-data": "iot-data-plane",
    "kinesisanalyticsv2": "kinesis-analytics-v2",
    "kinesisvideo": "kinesis-video",
    "lexv2-models": "lex-models-v2",
    "logs": "cloudwatch-logs",
    "meteringmarketplace": "marketplace-metering",
    "resourcegroupstaggingapi": "resource-groups-tagging-api",
    "route53": "route-53",
    "route53domains": "route-53-domains",
    "s3control": "s3-control",
    "sdb": "simpledb",
    "secretsmanager": "secrets-manager",
    "servicecatalog": "service-catalog",
    "servicecatalog-appregistry": "service-catalog-appregistry",
    "stepfunctions": "sfn",
}
"""botocore's ids of services by folder, where the id is not the folder."""

_FOLDERS_BY_ID: Final = {service: folder for folder, service in _IDS.items()}


def folders(signing_name: str) -> tuple[str, ...]:
    """The folders of the models that sign with a name; the first is the one that a request without a mark is for."""
    return _FOLDERS.get(signing_name, (signing_name,))


def service_id(folder: str) -> str:
    """The id of the service in a folder."""
    return _IDS.get(folder, folder)


def folder_of(service: str) -> str:
    """The folder of a service by botocore's id."""
    return _FOLDERS_BY_ID.get(service, service)


@cache
def known_folders() -> frozenset[str]:
    """The folders that botocore has."""
    return frozenset(data_loader().list_available_services("service-2"))
