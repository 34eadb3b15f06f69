"""An image store that keeps its promises in memory: the bucket is not what goes wrong here."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import BinaryIO

from flow_pipelines.clock import SystemClock
from flow_pipelines.model.errors import ConfigurationError, ObjectDiffers, StorageError
from flow_pipelines.storage.contract import NO_NOTES, ListedObject, ObjectNotes, StoredObject


class MemoryImageStore:
    """`storage.contract.ImageStore`, held to the same suite as the one on S3."""

    def __init__(self, bucket: str, prefix: str, *, exists: bool = True) -> None:
        self.bucket, self.prefix = bucket, prefix
        self._exists = exists
        self._lock = threading.Lock()
        self._objects: dict[str, tuple[bytes, StoredObject]] = {}

    def key(self, *parts: str) -> str:
        return "/".join([self.prefix, *parts])

    def uri(self, key: str) -> str:
        return f"s3://{self.bucket}/{key}"

    def check(self) -> None:
        if not self._exists:
            raise ConfigurationError(f"{self.bucket!r} does not exist: set FLOW_PIPELINES_BUCKET")

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
        self.check()
        content.seek(0)
        data = content.read()
        assert len(data) == size_bytes
        assert hashlib.sha256(data).hexdigest() == sha256
        with self._lock:
            if key not in self._objects:
                return self._keep(key, data, media_type, notes)
            if self._objects[key][1].sha256 != sha256:
                raise ObjectDiffers(f"{self.uri(key)} exists with another content")
            return self._objects[key][1]

    def put(self, key: str, content: bytes, *, media_type: str) -> StoredObject:
        self.check()
        with self._lock:
            return self._keep(key, content, media_type)

    def _keep(
        self, key: str, content: bytes, media_type: str, notes: ObjectNotes = NO_NOTES
    ) -> StoredObject:
        digest = hashlib.sha256(content).hexdigest()
        stored = StoredObject(
            key=key,
            size_bytes=len(content),
            sha256=digest,
            media_type=media_type,
            metadata=notes.metadata,
        )
        self._objects[key] = (content, stored)
        return stored

    def create_json(self, key: str, document: object) -> bool:
        self.check()
        with self._lock:
            if key in self._objects:
                return False
            self._keep(key, json.dumps(document).encode(), "application/json")
            return True

    def get(self, key: str, *, max_bytes: int = 256 * 1024 * 1024) -> bytes | None:
        self.check()
        content = self._objects[key][0] if key in self._objects else None
        if content is not None and len(content) > max_bytes:
            raise StorageError(f"{self.uri(key)} has more bytes; at most {max_bytes} are read")
        return content

    def head(self, key: str) -> StoredObject | None:
        self.check()
        return self._objects[key][1] if key in self._objects else None

    def inspect(self, key: str) -> StoredObject | None:
        return self.head(key)

    def put_once(self, key: str, content: bytes, *, seconds: float) -> bool:
        self.check()
        with self._lock:
            if key not in self._objects:
                self._keep(key, content, "application/json")
            return self._objects[key][0] == content

    def list_keys(self, prefix: str, limit: int | None = None) -> Iterator[str]:
        return (found.key for found in self.list_objects(prefix, limit))

    def list_objects(self, prefix: str, limit: int | None = None) -> Iterator[ListedObject]:
        self.check()
        found = sorted(key for key in self._objects if key.startswith(prefix))
        for key in islice(found, limit):
            yield ListedObject(key=key, size_bytes=len(self._objects[key][0]))

    def list_folders(self, prefix: str) -> Iterator[str]:
        below = [key.removeprefix(prefix) for key in self.list_keys(prefix)]
        yield from sorted({rest.partition("/")[0] for rest in below if "/" in rest})

    def at(self, bucket: str, prefix: str) -> MemoryImageStore:
        there = MemoryImageStore(bucket, prefix, exists=self._exists)
        if bucket == self.bucket:
            there._objects = self._objects
        return there

    def delete(self, key: str) -> None:
        self.check()
        with self._lock:
            self._objects.pop(key, None)

    def server_time(self) -> datetime | None:
        self.check()
        return SystemClock().now()
