"""Takes an output from a provider's answer to the bucket, whole or not at all."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

from flow_pipelines.model.errors import (
    ObjectDiffers,
    OutputDoubted,
    OutputTooLarge,
    StorageError,
    TransferError,
)
from flow_pipelines.model.output import MAX_OUTPUT_BYTES, StoredFacts
from flow_pipelines.provider import Download
from flow_pipelines.storage.contract import ImageStore, ObjectNotes, StoredObject
from flow_pipelines.storage.examine import Doubt, FileFacts, examine
from flow_pipelines.storage.images import MAX_PIXELS
from flow_pipelines.storage.promises import NO_PROMISE, Promise

_CHUNK_BYTES = 256 * 1024
"""Little enough to be hashed and written while a processor still has it at hand."""


@dataclass(frozen=True, kw_only=True)
class TransferLimits:
    """What one output may cost this machine."""

    max_bytes: int = MAX_OUTPUT_BYTES
    max_pixels: int = MAX_PIXELS
    memory_bytes: int = 4 * 1024 * 1024
    """An output up to this is kept in memory meanwhile, a larger one in a temporary file."""
    spool_dir: Path | None = None
    """Where the temporary file is; None: the system's folder."""


class TextDownload:
    """A text that came inside an answer, in the shape of a download."""

    media_type: str | None = "text/plain"
    file_name: str | None = None

    def __init__(self, text: str) -> None:
        """Offer `text` as UTF-8; what cannot be encoded becomes a question mark."""
        content = text.encode("utf-8", "replace")
        self.size_bytes: int | None = len(content)
        self._content = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` more bytes; empty at the end."""
        return self._content.read(size)


@dataclass(frozen=True, kw_only=True)
class Belief:
    """What makes a doubtful output be kept as it came."""

    after_a_day: bool = False
    """Nothing better has come for a day."""
    seen_sha256: str | None = None
    """What another transfer brought."""

    def covers(self, doubt: Doubt | None, sha256: str) -> bool:
        """Return whether an output with this doubt is kept now."""
        if doubt is None or self.after_a_day:
            return True
        return doubt == "twice" and sha256 == self.seen_sha256


NO_BELIEF = Belief()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where an output is stored, and what its object says of it."""

    key_for: Callable[[str], str]
    """Extension without a dot → full key."""
    metadata: Mapping[str, str] = field(default_factory=dict)


def store_output(
    download: Download,
    store: ImageStore,
    place: Place,
    *,
    promise: Promise = NO_PROMISE,
    belief: Belief = NO_BELIEF,
    limits: TransferLimits | None = None,
) -> StoredFacts:
    """Spool, examine and store one output, whatever it is. Safe to repeat: it is stored once.

    A few MiB of it at most are in memory, beside the decoded pixels.

    Raises: TransferError: cut, fetch it again. OutputDoubted: it can hardly be this; see `belief`.
    OutputTooLarge. StorageError: the bucket, or this machine's disk, failed.
    """
    limits = limits or TransferLimits()
    promise = _with_what_the_answer_says(download, promise)
    try:
        with _new_spool(limits) as spool:
            size_bytes, sha256 = _spool(download, spool, limits.max_bytes)
            _compare_length(download, size_bytes)
            facts = examine(spool, promise, max_pixels=limits.max_pixels)
            if not belief.covers(facts.doubt, sha256):
                raise OutputDoubted(
                    f"What came is not stored yet: {facts.why}",
                    sha256=sha256,
                    lasting=facts.doubt == "a day",
                )
            stored = _put(store, place, spool, facts, sha256, size_bytes)
    except OSError as error:
        where = limits.spool_dir or tempfile.gettempdir()
        raise StorageError(
            f"Cannot use the spool folder {where} ({error.strerror or error}). Free some space "
            "there, or set TMPDIR to another folder."
        ) from error
    return StoredFacts(
        s3_key=stored.key,
        media_type=facts.media_type,
        size_bytes=stored.size_bytes,
        sha256=stored.sha256 or sha256,
        width=facts.width,
        height=facts.height,
        bucket=store.bucket,
        verified=facts.verified,
        verified_why=facts.why,
        file_name=download.file_name,
    )


def _with_what_the_answer_says(download: Download, promise: Promise) -> Promise:
    """Add what the answer says to what was said before; its length, where nothing was said."""
    names = (*promise.names, *([download.file_name] if download.file_name else []))
    types = (*promise.types, *([download.media_type] if download.media_type else []))
    size_bytes = promise.size_bytes if promise.size_bytes is not None else download.size_bytes
    return replace(promise, names=names, types=types, size_bytes=size_bytes)


def _put(
    store: ImageStore,
    place: Place,
    spool: BinaryIO,
    facts: FileFacts,
    sha256: str,
    size_bytes: int,
) -> StoredObject:
    key = place.key_for(facts.extension)
    notes = ObjectNotes(metadata=place.metadata, attachment=facts.is_attachment)
    try:
        return store.put_new(
            key,
            spool,
            media_type=facts.media_type,
            sha256=sha256,
            size_bytes=size_bytes,
            notes=notes,
        )
    except ObjectDiffers:
        # Two error pages differ in a number or a time, and one of them is as good as the other.
        kept = store.inspect(key) if facts.verified == "damaged" else None
        if kept is None:
            raise
        return kept


def _new_spool(limits: TransferLimits) -> BinaryIO:
    folder = None if limits.spool_dir is None else str(limits.spool_dir)
    file = tempfile.SpooledTemporaryFile(  # noqa: SIM115 - whoever asked for it closes it
        limits.memory_bytes, dir=folder, prefix="flow-pipelines-"
    )
    return cast("BinaryIO", file)


def _spool(download: Download, spool: BinaryIO, max_bytes: int) -> tuple[int, str]:
    digest, size_bytes = hashlib.sha256(), 0
    while chunk := download.read(_CHUNK_BYTES):
        size_bytes += len(chunk)
        if size_bytes > max_bytes:
            raise OutputTooLarge(
                f"The output has more than {max_bytes} bytes.",
                max_bytes=max_bytes,
                is_told=download.size_bytes is not None and download.size_bytes > max_bytes,
            )
        digest.update(chunk)
        spool.write(chunk)
    spool.flush()
    return size_bytes, digest.hexdigest()


def _compare_length(download: Download, size_bytes: int) -> None:
    announced = download.size_bytes
    if announced is not None and announced != size_bytes:
        raise TransferError(f"The output was cut: {size_bytes} of {announced} bytes arrived.")
