"""The image store's contract: a bucket and a prefix in it, with a rule against overwriting."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import BinaryIO, Protocol


@dataclass(frozen=True, kw_only=True)
class StoredObject:
    """An object that is in the bucket, whole."""

    key: str
    """Full key, prefix included."""
    size_bytes: int
    sha256: str | None
    """From our own object metadata; None when something else wrote the object."""
    media_type: str
    metadata: Mapping[str, str] = field(default_factory=dict, compare=False)
    """What was noted with it; empty where nobody looked."""


@dataclass(frozen=True, kw_only=True)
class ObjectNotes:
    """What an object says of itself beside its type."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    """S3 user metadata: printable ASCII, less than 2 kB in all."""
    attachment: bool = False
    """Browsers are told to save it, and not to show it."""


NO_NOTES = ObjectNotes()


@dataclass(frozen=True, kw_only=True, slots=True)
class ListedObject:
    """An object as a listing names it."""

    key: str
    """Full key, prefix included."""
    size_bytes: int


class ImageStore(Protocol):
    """Where outputs, tables and reports live. Safe to share between threads.

    Every method raises StorageError, within a bounded number of tries, when the bucket refuses or
    fails, and ConfigurationError when the bucket does not exist or may not be used at all. Both
    name bucket and key and say what to do. Nothing half written is ever visible under its key.
    """

    bucket: str
    prefix: str

    def key(self, *parts: str) -> str:
        """Join the prefix and `parts` to a full key."""

    def uri(self, key: str) -> str:
        """Return `s3://bucket/key`."""

    def check(self) -> None:
        """Raise ConfigurationError unless the bucket exists and can be listed. Costs one call."""

    def put_new(
        self,
        key: str,
        content: BinaryIO,
        *,
        media_type: str,
        sha256: str,
        size_bytes: int,
        notes: ObjectNotes = NO_NOTES,
    ) -> StoredObject:
        """Store an object that must not replace another (`If-None-Match: *`, multipart above
        16 MiB, SHA-256 kept in the metadata beside `notes`).

        When the key exists: the same SHA-256 gives the object that is there, another one raises
        ObjectDiffers. Safe to repeat; `content` is read from its start on every try.
        """

    def put(self, key: str, content: bytes, *, media_type: str) -> StoredObject:
        """Store an object in the place of whatever was there (tables, sheets)."""

    def create_json(self, key: str, document: object) -> bool:
        """Store a small JSON document unless the key exists. False: it existed, unchanged."""

    def get(self, key: str, *, max_bytes: int = 256 * 1024 * 1024) -> bytes | None:
        """Return an object's content; None when there is none."""

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object; None when there is none."""

    def inspect(self, key: str) -> StoredObject | None:
        """Return what `head` gives, with the SHA-256 in any case: where the metadata has none, the
        object is read for it."""

    def put_once(self, key: str, content: bytes, *, seconds: float) -> bool:
        """Store a small JSON object that is never rewritten; True: it is there, with this content.

        False: another content has the key, and keeps it. Ends within `seconds`, retries included;
        a request that hangs longer is left to itself, and may still store `content`.

        Raises: StorageError, also when the time is over; ConfigurationError.
        """

    def list_keys(self, prefix: str, limit: int | None = None) -> Iterator[str]:
        """Return the full keys that start with the full key `prefix`, in their order: all of them,
        or the first `limit`."""

    def list_objects(self, prefix: str, limit: int | None = None) -> Iterator[ListedObject]:
        """Return what `list_keys` gives, with sizes."""

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Return the names of the folders directly below `prefix` (ends with a slash), in order."""

    def at(self, bucket: str, prefix: str) -> ImageStore:
        """Return the same store at another bucket and prefix. No call is made."""

    def presigned_url(self, key: str, seconds: int) -> str:
        """Return a link that opens one object to whoever holds it, for `seconds` from now.

        It carries a key id and a signature: store it nowhere, print it never. No call is made.
        """

    def delete(self, key: str) -> None:
        """Take an object away, or none where there is none. Only `doctor` does, with its own."""

    def server_time(self) -> datetime | None:
        """Return the time by the store's own clock, to the second; None where it tells none."""
