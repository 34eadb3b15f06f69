"""What FloImg tells, typed: camelCase there, snake_case here.

Source: floimg-web docs/api/endpoints, which shows neither projects nor a single stored image: of
those, nothing but the id is relied on.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.alias_generators import to_camel

from flow_pipelines.batches.keys import stable_hash
from flow_pipelines.model import json_values as read
from flow_pipelines.provider.records import (
    Identifier,
    MaybeCount,
    MaybeMoment,
    MaybeText,
    Record,
    Status,
)


class FloImgRecord(Record):
    """Base of all that FloImg tells."""

    model_config = ConfigDict(alias_generator=to_camel)


def _object(value: Any) -> Any:
    return value if isinstance(value, dict | Record) else None


class ExecutionOutput(FloImgRecord):
    """The one output of an execution."""

    url: MaybeText = Field(default=None, repr=False)
    """Opens the output, for whoever holds it; for how long is not documented."""
    width: MaybeCount = None
    height: MaybeCount = None
    format: Annotated[str | None, BeforeValidator(read.code)] = None
    """Such as `png`; like the size, in the answer to an execute only."""


class StartedExecution(FloImgRecord):
    """An execution that FloImg has accepted: its id proves it, whatever else the answer has."""

    execution_id: Identifier


class Execution(StartedExecution):
    """An execution of a workflow."""

    status: Status
    """`pending`, `running`, `completed` or `failed`."""
    workflow_id: MaybeText = None
    output: Annotated[ExecutionOutput | None, BeforeValidator(_object)] = None
    duration: MaybeCount = None
    """Milliseconds, in the answer to a synchronous execute."""
    started_at: MaybeMoment = None
    completed_at: MaybeMoment = None
    error: Any = Field(default=None, repr=False)
    """Of undocumented shape."""

    @property
    def error_code(self) -> str | None:
        """The error's code, where it has one."""
        return read.code(read.members(self.error).get("code"))

    @property
    def error_message(self) -> str | None:
        """The error as text for people, shortened and without secrets."""
        return read.prose(read.members(self.error).get("message") or self.error)


class WorkflowParameter(FloImgRecord):
    """A parameter that a saved workflow declares."""

    name: str = Field(min_length=1)
    type: MaybeText = None
    """The documentation shows `string` and `number`."""
    required: Annotated[bool, BeforeValidator(lambda value: value is True)] = False
    default: Any = None


def _parameters(value: Any) -> Any:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("no list")  # noqa: TRY004 - pydantic takes ValueError for a wrong value
    try:
        stable_hash(value)
    except (ValueError, TypeError):
        # NaN and the like: Python reads what JSON has not, and nobody could send it back.
        raise ValueError("no JSON") from None
    return tuple(value)


class Kept(FloImgRecord):
    """Base of what FloImg keeps under an id."""

    id: Identifier
    name: MaybeText = None
    created_at: MaybeMoment = None


class WorkflowSummary(Kept):
    """A saved workflow as a list tells of it."""

    project_id: MaybeText = None
    updated_at: MaybeMoment = None
    """In a list only."""


class SavedWorkflow(WorkflowSummary):
    """A saved workflow with all that is told of it, which is not what it does."""

    description: MaybeText = None
    parameters: Annotated[tuple[WorkflowParameter, ...], BeforeValidator(_parameters)] = ()


class StoredImage(Kept):
    """An image in FloImg's storage."""

    url: MaybeText = Field(default=None, repr=False)
    """Opens the image, for whoever holds it; for how long is not documented."""
    size: MaybeCount = None
    """Bytes."""
    format: MaybeText = None
    width: MaybeCount = None
    height: MaybeCount = None
    """Pixels; like width and format, not in a list."""


class Deletion(FloImgRecord):
    """What became of an image that was to be deleted."""

    deleted: bool


class Project(Kept):
    """A project, which workflows and images may belong to."""

    description: MaybeText = None
