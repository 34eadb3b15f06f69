"""What FLORA's calls give, as FLORA names it: money in USD, but models cost credits."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, StringConstraints, model_validator

from flow_pipelines.model import json_values as read
from flow_pipelines.provider.records import (
    Identifier,
    MaybeAmount,
    MaybeCount,
    MaybeEpochMs,
    MaybeFlag,
    MaybeIdentifier,
    MaybeNumber,
    MaybeText,
    Record,
    Texts,
    every_object,
)


def _when(value: Any) -> datetime | None:
    return read.moment(value) if isinstance(value, str) else read.epoch_ms(value)


def _all_of(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _all_or_none(value: Any) -> Any:
    return () if value is None else _all_of(value)


def _texts_of(value: Any) -> dict[str, str]:
    return {name: text for name, text in read.members(value).items() if isinstance(text, str)}


def _object_or_none(value: Any) -> Mapping[str, Any] | None:
    return value if isinstance(value, dict) else None


Name = Annotated[str, StringConstraints(min_length=1)]
MaybeWhen = Annotated[datetime | None, BeforeValidator(_when)]
"""ISO 8601 with an offset, or milliseconds since 1970: FLORA gives times of assets in both."""


def _objects(value: Any) -> tuple[Any, ...]:
    """Return no objects for what is no list: an answer to a create is a receipt all the same."""
    return every_object(value) if isinstance(value, list) else ()


class Workspace(Record):
    """A workspace that the key may use."""

    workspace_id: Identifier
    name: MaybeText = None
    role: MaybeText = None
    created_at: MaybeEpochMs = None


class Project(Record):
    """A project of a workspace."""

    project_id: Identifier
    workspace_id: MaybeText = None
    name: MaybeText = None
    origin: MaybeText = None
    created_at: MaybeEpochMs = None
    last_modified: MaybeEpochMs = None


class ModelParam(Record):
    """A parameter of a model; its `default`, `min`, `max`, `options` … are in `model_extra`."""

    name: MaybeText = None
    type: MaybeText = None
    """`string`, `string[]`, `bool`, `int`, `int?`, `seed`, `float` or `dict`."""
    required: MaybeFlag = None


class Model(Record):
    """A model of FLORA's catalog."""

    model_id: Name
    name: MaybeText = None
    provider: MaybeText = None
    type: MaybeText = None
    """`image`, `video`, `audio` or `text`."""
    capabilities: Texts = ()
    params: Annotated[tuple[ModelParam, ...], BeforeValidator(_objects)] = ()
    estimated_credits: MaybeNumber = None
    """Credits, not USD, for which everything else is."""
    estimated_seconds: MaybeNumber = None
    beta: MaybeFlag = None


class Port(Record):
    """An input or output of a technique."""

    id: Name
    type: Name
    """`text`, `imageUrl`, `videoUrl`, `audioUrl`, `documentUrl`, or an older spelling of it."""
    name: MaybeText = None
    description: MaybeText = None
    optional: MaybeFlag = None
    allow_multiple: MaybeFlag = None


Ports = Annotated[tuple[Port, ...], BeforeValidator(_all_or_none)]


class Technique(Record):
    """A saved workflow with typed inputs and a price of its own."""

    technique_id: Identifier
    inputs: Annotated[tuple[Port, ...], BeforeValidator(_all_of)]
    slug: MaybeIdentifier = None
    name: MaybeText = None
    description: MaybeText = None
    run_cost: MaybeAmount = None
    """USD of one run."""
    outputs: Ports = ()


class TechniqueName(Record):
    """What a list of runs tells of their technique."""

    technique_id: MaybeText = None
    name: MaybeText = None


class RunOutput(Record):
    """An output of a technique run."""

    output_id: MaybeText = None
    type: MaybeText = None
    url: MaybeText = Field(default=None, repr=False)
    """A link that opens it: long-lived, not permanent. For `text`, the text itself."""


class TechniqueRun(Record):
    """A run of a technique, as it is now."""

    run_id: Identifier
    status: MaybeText = None
    """`pending`, `running`, `completed` or `failed`."""
    progress: MaybeNumber = None
    """0 … 100."""
    created_at: MaybeEpochMs = None
    started_at: MaybeEpochMs = None
    completed_at: MaybeEpochMs = None
    charged_cost: MaybeAmount = None
    """USD; absent on runs that failed or go on."""
    outputs: Annotated[tuple[RunOutput, ...], BeforeValidator(_objects)] = ()
    error_code: MaybeText = None
    error_message: Any = None
    poll_url: MaybeText = None
    technique: Annotated[TechniqueName, BeforeValidator(read.members)] = TechniqueName()
    """In lists only, like `project_id` and `workspace_id`."""
    project_id: MaybeText = None
    workspace_id: MaybeText = None

    @model_validator(mode="before")
    @classmethod
    def _name_of_a_listed_run(cls, document: Any) -> Any:
        """Take a list's `technique_run_id` where there is no `run_id`."""
        members = read.members(document)
        if members.get("run_id") or not members.get("technique_run_id"):
            return document
        return {**members, "run_id": members["technique_run_id"]}


class Upload(Record):
    """Where and how the bytes of a reserved asset are posted; whoever has it may upload."""

    url: MaybeText = Field(default=None, repr=False)
    method: MaybeText = None
    content_type: MaybeText = None
    file_field: MaybeText = Field(
        default=None, validation_alias=AliasChoices("file_field", "fileField")
    )
    form_fields: Annotated[dict[str, str], BeforeValidator(_texts_of)] = Field(
        default_factory=dict,
        validation_alias=AliasChoices("form_fields", "formFields"),
        repr=False,
    )
    """Sent before the file, each as it is."""


class Asset(Record):
    """A picture, video, sound or document that is kept at FLORA."""

    asset_id: Identifier
    status: MaybeText = None
    """`pending_upload`, `ready` or `failed`."""
    url: MaybeText = Field(default=None, repr=False)
    workspace_id: MaybeText = None
    project_id: MaybeText = None
    name: MaybeText = None
    description: MaybeText = None
    visibility: MaybeText = None
    uploaded_via: MaybeText = None
    """`direct`, `url` or `signed_url`."""
    content_type: MaybeText = None
    upload_content_type: MaybeText = None
    size_bytes: MaybeCount = None
    width: MaybeCount = None
    height: MaybeCount = None
    created_at: MaybeWhen = None
    failure_message: MaybeText = None
    upload: Annotated[Upload | None, BeforeValidator(_object_or_none)] = Field(
        default=None, repr=False
    )
    upload_url: MaybeText = Field(default=None, repr=False)
    expires_at: MaybeWhen = None
    """When the upload link ends."""
