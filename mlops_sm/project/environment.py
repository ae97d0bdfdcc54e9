"""One environment: the account behind its name, and what pipelines use there. Every rule about a value stands here."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

MAX_TAGS: Final = 50
"""Source: SageMaker API reference, CreatePipeline.Tags."""
MAX_SUBNETS: Final = 16
MAX_SECURITY_GROUPS: Final = 5
"""Source of both: SageMaker API reference, VpcConfig."""

# Source: "General purpose bucket naming rules", Amazon S3 User Guide.
_BUCKET: Final = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_BUCKET_PREFIXES: Final = ("xn--", "sthree-", "amzn-s3-demo-")
_BUCKET_SUFFIXES: Final = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
# Source: SageMaker API reference, Tag.
_TAG_TEXT: Final = re.compile(r"[\w\s.:/=+\-@]*")


def _shaped(pattern: str, shape: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise ValueError(f'"{value}" is not {shape}')
        return value

    return check


def _bucket(value: str) -> str:
    if not _BUCKET.fullmatch(value):
        raise ValueError(
            f'"{value}" is no S3 bucket name: 3 to 63 lower-case letters, digits, hyphens and dots, '
            "a letter or digit at both ends"
        )
    if ".." in value or re.fullmatch(r"\d+\.\d+\.\d+\.\d+", value):
        raise ValueError(f'"{value}" is no S3 bucket name: it may hold neither two dots in a row nor an IP address')
    if value.startswith(_BUCKET_PREFIXES) or value.endswith(_BUCKET_SUFFIXES):
        raise ValueError(f'"{value}" is no S3 bucket name: this prefix or suffix is reserved by AWS')
    return value


def _tags(value: Mapping[str, str]) -> Mapping[str, str]:
    if len(value) > MAX_TAGS:
        raise ValueError(f"{len(value)} tags are more than the {MAX_TAGS} that AWS takes")
    for key, text in value.items():
        if not 1 <= len(key) <= 128 or _TAG_TEXT.fullmatch(key) is None:  # noqa: PLR2004 - AWS's limit, see _TAG_TEXT
            raise ValueError(f'"{key}" is no tag key: 1 to 128 letters, digits, spaces and _ . : / = + - @')
        if key.lower().startswith("aws:"):
            raise ValueError(f'tag "{key}" starts with aws:, which AWS keeps for itself')
        if len(text) > 256 or _TAG_TEXT.fullmatch(text) is None:  # noqa: PLR2004 - AWS's limit, see _TAG_TEXT
            raise ValueError(
                f'tag "{key}" has a value AWS refuses: up to 256 letters, digits, spaces and _ . : / = + - @'
            )
    return value


EnvironmentName = Annotated[
    str,
    AfterValidator(
        _shaped(
            r"[a-z](-?[a-z0-9])*", "an environment name: lower-case letters, digits and single hyphens, letter first"
        )
    ),
    Field(max_length=20),
]
Account = Annotated[str, AfterValidator(_shaped(r"\d{12}", "an account id of 12 digits"))]
Region = Annotated[str, AfterValidator(_shaped(r"[a-z]{2}(-[a-z]+)+-\d{1,2}", 'a region such as "eu-central-1"'))]
RoleArn = Annotated[
    str,
    AfterValidator(
        _shaped(
            r"arn:aws[a-z\-]*:iam::\d{12}:role/[\w+=,.@\-/]+", 'a role\'s ARN such as "arn:aws:iam::ACCOUNT:role/NAME"'
        )
    ),
]
KmsKeyArn = Annotated[
    str,
    AfterValidator(
        _shaped(
            r"arn:aws[a-z\-]*:kms:[a-z0-9\-]+:\d{12}:(key|alias)/[\w/\-]+",
            'a KMS key\'s ARN such as "arn:aws:kms:REGION:ACCOUNT:key/ID"',
        )
    ),
]
Bucket = Annotated[str, AfterValidator(_bucket)]
SubnetId = Annotated[str, AfterValidator(_shaped(r"subnet-[0-9a-f]{8,17}", 'a subnet id such as "subnet-0a1b2c3d"'))]
SecurityGroupId = Annotated[
    str, AfterValidator(_shaped(r"sg-[0-9a-f]{8,17}", 'a security group id such as "sg-0a1b2c3d"'))
]


class Environment(BaseModel):
    """An environment with every value filled in.

    Attributes:
        name: How commands call it: ``local``, ``dev``, ``prod``.
        account: The account's 12 digits.
        region: For example ``eu-central-1``.
        role_arn: The role that pipelines and their jobs run as.
        artifact_bucket: Assets and what steps produce.
        data_bucket: Data sets.
        model_bucket: Trained models.
        kms_key_arn: Encrypts volumes, outputs and assets; None leaves it to the account's default.
        subnets: Where jobs run; given together with `security_group_ids` or not at all.
        security_group_ids: What those jobs may reach.
        network_isolation: Jobs get no network at all.
        tags: Put on everything that is created, the owner's tags of this project included.
        profile: The profile in the AWS configuration whose credentials are used.
        protected: Changes ask for more than ``--yes``.
        four_eyes: Who made a model version cannot approve it.
        provenance: For each field, who set it.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", validate_default=True)

    name: EnvironmentName
    account: Account
    region: Region
    role_arn: RoleArn
    artifact_bucket: Bucket
    data_bucket: Bucket
    model_bucket: Bucket
    kms_key_arn: KmsKeyArn | None = None
    # TOML and JSON have lists only; strict mode would refuse one for a tuple
    subnets: Annotated[tuple[SubnetId, ...], Field(strict=False, max_length=MAX_SUBNETS)] = ()
    security_group_ids: Annotated[tuple[SecurityGroupId, ...], Field(strict=False, max_length=MAX_SECURITY_GROUPS)] = ()
    network_isolation: bool = False
    tags: Annotated[Mapping[str, str], AfterValidator(_tags)] = Field(default_factory=dict)
    profile: Annotated[str, Field(min_length=1)] | None = None
    protected: bool = False
    four_eyes: bool = False
    provenance: Mapping[str, str] = Field(default_factory=dict)

    # Rules about two fields are validators of the later one: unlike model validators they run beside other problems.

    @field_validator("role_arn")
    @classmethod
    def _role_in_account(cls, value: str, info: ValidationInfo) -> str:
        account = info.data.get("account")
        if account is not None and value.split(":")[4] != account:
            raise ValueError(f"{value} belongs to another account than {account}, and SageMaker takes no such role")
        return value

    @field_validator("kms_key_arn")
    @classmethod
    def _key_in_region(cls, value: str | None, info: ValidationInfo) -> str | None:
        region = info.data.get("region")
        if value is not None and region is not None and value.split(":")[3] != region:
            raise ValueError(f"{value} is in another region than {region}, where it would be used")
        return value

    @field_validator("security_group_ids")
    @classmethod
    def _with_subnets(cls, value: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        subnets = info.data.get("subnets")
        if subnets is not None and bool(subnets) != bool(value):
            given, absent = ("subnets", "security_group_ids") if subnets else ("security_group_ids", "subnets")
            raise ValueError(f"{given} without {absent}: a VPC configuration takes both")
        return value
