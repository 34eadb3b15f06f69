"""Takes an output from a provider's answer to the bucket, whole and verified or not at all."""

from __future__ import annotations

import hashlib
import io
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from flow_pipelines.model.errors import OutputRefused, StorageError, TransferError
from flow_pipelines.model.output import OutputKind, StoredFacts
from flow_pipelines.provider import Download
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.images import MAX_PIXELS, verify_output

_CHUNK_BYTES = 256 * 1024
"""Little enough to be hashed and written while a processor still has it at hand."""


@dataclass(frozen=True, kw_only=True)
class TransferLimits:
    """What one output may cost this machine."""

    max_bytes: int = 512 * 1024 * 1024
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
        """Give at most `size` more bytes; empty at the end."""
        return self._content.read(size)


def store_output(
    download: Download,
    store: ImageStore,
    key_for: Callable[[str], str],
    *,
    kind: OutputKind = "file",
    limits: TransferLimits | None = None,
) -> StoredFacts:
    """Spool, verify and store one output. Safe to repeat: the same bytes are stored once.

    `key_for` gives the full key for an extension (without a dot). A few MiB of it at most are in
    memory, beside the decoded pixels.

    Raises: TransferError: cut or broken, fetch it again. OutputRefused: too large, or not an
    image. StorageError: the bucket, or this machine's disk, failed.
    """
    limits = limits or TransferLimits()
    try:
        with _new_spool(limits) as spool:
            size_bytes, sha256 = _spool(download, spool, limits.max_bytes)
            _compare_length(download, size_bytes, kind)
            facts = verify_output(
                spool,
                kind=kind,
                declared_media_type=download.media_type,
                max_pixels=limits.max_pixels,
            )
            stored = store.put_new(
                key_for(facts.extension),
                spool,
                media_type=facts.media_type,
                sha256=sha256,
                size_bytes=size_bytes,
            )
    except OSError as error:
        where = limits.spool_dir or tempfile.gettempdir()
        raise StorageError(
            f"Cannot use the spool folder {where} ({error.strerror or error}). Free some space "
            "there, or set TMPDIR to another folder."
        ) from error
    return StoredFacts(
        s3_key=stored.key,
        media_type=facts.media_type,
        size_bytes=size_bytes,
        sha256=sha256,
        width=facts.width,
        height=facts.height,
        bucket=store.bucket,
    )


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
            raise OutputRefused(
                f"The output has more than {max_bytes} bytes. Make the workflow's output smaller."
            )
        digest.update(chunk)
        spool.write(chunk)
    spool.flush()
    return size_bytes, digest.hexdigest()


def _compare_length(download: Download, size_bytes: int, kind: OutputKind) -> None:
    announced = download.size_bytes
    if announced is not None and announced != size_bytes:
        raise TransferError(f"The output was cut: {size_bytes} of {announced} bytes arrived.")
    if not size_bytes and kind == "file":
        raise TransferError("The output is empty.")
