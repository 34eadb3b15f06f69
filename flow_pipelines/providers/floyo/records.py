"""What Floyo tells, typed; fields that we do not know are in `model_extra`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BeforeValidator, Field

from flow_pipelines.provider.records import (
    Identifier,
    MaybeCount,
    MaybeIdentifier,
    MaybeMoment,
    MaybeProse,
    MaybeText,
    Record,
    Status,
    every_object,
)


class _FileFacts(Record):
    file_name: MaybeText = None
    mime_type: MaybeText = None
    size_bytes: MaybeCount = None
    created_at: MaybeMoment = None
    presigned_url: MaybeText = Field(default=None, repr=False)
    """Anyone who has it can download the file until it expires, and it holds the id of an API key:
    keep it out of logs."""


class File(_FileFacts):
    """A file at Floyo: an output of a run, or what `retrieve_file` names."""

    id: MaybeIdentifier = None
    """Case-sensitive. None: Floyo gave none that could be used."""
    input_path: MaybeText = None
    """What a later graph names this file by, as an input."""


class UploadedFile(_FileFacts):
    """A file as Floyo keeps it after an upload."""

    id: Identifier
    input_path: Annotated[str, Field(min_length=1)]
    """What a graph names this file by, e.g. in `LoadImage`'s `image`."""


class CreatedRun(Record):
    """A run that Floyo has accepted."""

    id: Identifier
    name: MaybeText = None


class Run(Record):
    """A run as Floyo tells of it."""

    id: Identifier
    status: Status
    name: MaybeText = None
    requested_at: MaybeMoment = None
    flotime_ms: MaybeCount = None
    """GPU time; on finished runs only."""
    outputs: Annotated[tuple[File, ...], BeforeValidator(every_object)] = ()
    """On finished runs only; none at all when ComfyUI had the graph's result in its cache."""
    errors: MaybeProse = None
    """Of undocumented shape, so as text, shortened."""


class ListedRun(Record):
    """A run in a list. Seen in clients only, so nothing but its id is relied on."""

    id: Identifier
    status: MaybeText = None
    name: MaybeText = None
    requested_at: MaybeMoment = None


class Cancellation(Record):
    """What became of a run that was to be cancelled."""

    id: MaybeText = None
    status: MaybeText = None
    """The one that the run ended in, where it had ended before; None: it is cancelled now."""
    message: MaybeText = None
    already_ended: bool = False
    """True: it had ended before, and stays as it ended."""
