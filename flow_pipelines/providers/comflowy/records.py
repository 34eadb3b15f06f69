"""What Comflowy tells, typed. Source: comflowy.com/blog/comflowy-api, which shows the types."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, ConfigDict, Field

from flow_pipelines.model import json_values as read
from flow_pipelines.provider.records import Record, Status, Texts
from flow_pipelines.redaction import Secret

_RUN_ID = re.compile(r"[!-~]{1,200}")


def run_id_in(value: Any) -> str | None:
    """Return a run's id as text: of any shape, as none is documented; None: unusable."""
    whole = read.count(value)
    run_id = value if whole is None else str(whole)
    return run_id if isinstance(run_id, str) and _RUN_ID.fullmatch(run_id) else None


def _links(value: Any) -> Any:
    """Return a list's texts, with None in the place of whatever else it holds."""
    items = () if value is None else value
    if not isinstance(items, list | tuple):
        raise ValueError("no list")  # noqa: TRY004 - pydantic takes ValueError for a wrong value
    return tuple(read.text(item) for item in items)


def _nodes(value: Any) -> dict[str, Any]:
    return {name: node for name, node in read.members(value).items() if isinstance(node, dict)}


def _token(value: Any) -> Secret:
    if not read.text(value):
        raise ValueError("no token")
    return Secret(value)


RunId = Annotated[str, BeforeValidator(run_id_in)]


class AccessToken(Record):
    """What a key is exchanged for; how long it lives is not documented."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    access_token: Annotated[Secret, BeforeValidator(_token)]


class StartedRun(Record):
    """A run that was accepted."""

    run_id: RunId


class NodeOutput(Record):
    """What one node of a workflow made."""

    images: Texts = Field(default=(), repr=False)
    """Links: each opens a picture for whoever holds it."""


class _Outputs(Record):
    error: Any = Field(default=None, repr=False)
    """Of a failed run; documented as a text."""
    output_images: Annotated[tuple[str | None, ...], BeforeValidator(_links)] = Field(
        default=(), repr=False
    )
    """Links: each opens a picture for whoever holds it. None: an entry that was no text."""
    full_outputs: Annotated[Mapping[str, NodeOutput], BeforeValidator(_nodes)] = Field(
        default_factory=dict, repr=False
    )
    """Node id → what it made; also what `output_images` does not name."""

    @property
    def error_message(self) -> str | None:
        """The error as text for people, shortened and without secrets."""
        return read.prose(self.error)


class Run(_Outputs):
    """A run as `check` tells of it."""

    run_id: str
    """As asked for: the answer does not repeat it."""
    status: Status
    """`waiting`, `pending`, `running`, `success` or `failed`."""


class ResultPayload(_Outputs):
    """What is posted to `on_result_url`, unsigned: confirm it with `check`."""

    type: Literal["success", "failed"]
    run_id: RunId


class ProgressPayload(Record):
    """What is posted to `on_progress_event_url`, unsigned. It does not say of which run."""

    type: Literal["waiting", "pending", "running", "message"]
    payload: Any = Field(default=None, repr=False)
