"""The image store on S3 and on whatever speaks its protocol."""

from __future__ import annotations

import hashlib
import io
import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from botocore.exceptions import ClientError

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import StorageError, StorageRefused
from flow_pipelines.retries import Retries, RetryBudget
from flow_pipelines.storage.contract import NO_NOTES, ListedObject, ObjectNotes, StoredObject
from flow_pipelines.storage.deadline import within
from flow_pipelines.storage.s3_errors import NOT_IMPLEMENTED, Retrying, code_of, status_of
from flow_pipelines.storage.s3_upload import (
    Upload,
    answers_that_it_exists,
    same_or_refuse,
    send,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

T = TypeVar("T")

_MIB = 1024 * 1024
_PAGE = 1000
"""Keys in an answer; no store gives more."""
_ABSENT = ("NoSuchKey", "NotFound", "404")
_PROBE = b'{"purpose": "shows whether this store honors If-None-Match"}\n'


class S3ImageStore:
    """An `ImageStore` in one bucket, under one prefix. Safe to share between threads.

    Rule against overwriting: `If-None-Match: *` on PutObject and CompleteMultipartUpload. A store
    that does not know that condition, which one call per process finds out on
    `<prefix>/_store.json`, is asked for the key before each write instead; there, two writers at
    the very same instant can still replace each other's object.

    Source: docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
    """

    def __init__(  # noqa: PLR0913 - a place, and what is known of its store
        self,
        bucket: str,
        prefix: str,
        client: S3Client,
        clock: Clock,
        *,
        extra_put_args: Mapping[str, Any] | None = None,
        budget: RetryBudget | None = None,
        honors_condition: bool | None = None,
    ) -> None:
        """Use `client` (see `make_client`) for `bucket`; no call is made yet.

        `extra_put_args` go with every write, e.g. `{"ServerSideEncryption": "aws:kms"}`.
        `honors_condition` is what is known of the store; None: it is found out.
        """
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self._client = client
        self._clock = clock
        self._extra = dict(extra_put_args or {})
        self._budget = budget or RetryBudget(attempts=5, first_delay_seconds=0.5)
        self._call = Retrying(bucket, Retries(self._budget, clock))
        self._lock = threading.Lock()
        self._honors_condition = honors_condition
        self._bucket_seen = False

    def key(self, *parts: str) -> str:
        """Join the prefix and `parts` to a full key."""
        return "/".join(part for part in (self.prefix, *(p.strip("/") for p in parts)) if part)

    def uri(self, key: str) -> str:
        """Return `s3://bucket/key`."""
        return f"s3://{self.bucket}/{key}"

    def check(self) -> None:
        """Raise ConfigurationError unless the bucket exists and can be listed. Costs one call."""
        self._list_one()
        self._bucket_seen = True

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
        """Store an object that must not replace another; see `ImageStore.put_new`."""
        upload = Upload(
            key=key,
            content=content,
            media_type=media_type,
            sha256=sha256,
            size_bytes=size_bytes,
            notes=notes,
            extra=self._extra,
        )
        existing = self._create_or_see(upload, self.inspect)
        if existing is not None:
            return same_or_refuse(existing, upload, self.uri(key))
        return StoredObject(key=key, size_bytes=size_bytes, sha256=sha256, media_type=media_type)

    def put(self, key: str, content: bytes, *, media_type: str) -> StoredObject:
        """Store an object in the place of whatever was there (tables, sheets)."""
        upload = self._upload_bytes(key, content, media_type)
        self._call(
            lambda: send(self._client, self.bucket, upload, condition={}), doing="store", key=key
        )
        return StoredObject(
            key=key, size_bytes=len(content), sha256=upload.sha256, media_type=media_type
        )

    def create_json(self, key: str, document: object) -> bool:
        """Store a small JSON document unless the key exists. False: it existed, unchanged.

        A try whose answer was lost may have stored it: after False, read it back.
        """
        text = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
        return self._create(self._upload_bytes(key, text.encode(), "application/json"))

    def put_once(self, key: str, content: bytes, *, seconds: float) -> bool:
        """Store a small JSON object that is never rewritten; see `ImageStore.put_once`."""
        budget = RetryBudget(attempts=5, total_seconds=seconds * 0.8, first_delay_seconds=0.25)
        hurried = self._copy(self.bucket, self.prefix, budget)
        upload = self._upload_bytes(key, content, "application/json")

        def write() -> bool:
            existing = hurried._create_or_see(upload, hurried.get)  # noqa: SLF001 - our own class
            return existing in (None, content)

        try:
            return within(seconds, write)
        except TimeoutError:
            raise StorageError(
                f"Cannot store {self.uri(key)}: the bucket did not answer within {seconds:g} s"
            ) from None

    def get(self, key: str, *, max_bytes: int = 256 * _MIB) -> bytes | None:
        """Return an object's content; None when there is none."""

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            with closing(answer["Body"]) as body:
                if answer["ContentLength"] > max_bytes:
                    raise StorageRefused(
                        f"{self.uri(key)} has {answer['ContentLength']} bytes; at most "
                        f"{max_bytes} are read into memory. Read it with another tool."
                    )
                return body.read()

        return self._unless_absent(read, doing="read", key=key)

    def head(self, key: str) -> StoredObject | None:
        """Return what is known of an object; None when there is none."""
        answer = self._unless_absent(
            lambda: self._client.head_object(Bucket=self.bucket, Key=key), doing="look at", key=key
        )
        if answer is None:
            return None
        return StoredObject(
            key=key,
            size_bytes=answer["ContentLength"],
            sha256=answer.get("Metadata", {}).get("sha256"),
            media_type=answer.get("ContentType", "application/octet-stream"),
            metadata=answer.get("Metadata", {}),
        )

    def inspect(self, key: str) -> StoredObject | None:
        """Return what is known of an object, its SHA-256 at any price; see `ImageStore.inspect`."""
        stored = self.head(key)
        if stored is None or stored.sha256 is not None:
            return stored

        def read() -> str:
            digest = hashlib.sha256()
            answer = self._client.get_object(Bucket=self.bucket, Key=key)
            with closing(answer["Body"]) as body:
                for chunk in body.iter_chunks(_MIB):
                    digest.update(chunk)
            return digest.hexdigest()

        sha256 = self._unless_absent(read, doing="read", key=key)
        return None if sha256 is None else replace(stored, sha256=sha256)

    def list_keys(self, prefix: str, limit: int | None = None) -> Iterator[str]:
        """Return the full keys that start with the full key `prefix` (`ImageStore.list_keys`)."""
        return (listed.key for listed in self.list_objects(prefix, limit))

    def list_objects(self, prefix: str, limit: int | None = None) -> Iterator[ListedObject]:
        """Return what `list_keys` gives, with sizes."""
        for page in self._pages(prefix, limit, {}):
            for entry in page.get("Contents", ()):
                yield ListedObject(key=entry["Key"], size_bytes=entry["Size"])

    def list_folders(self, prefix: str) -> Iterator[str]:
        """Return the names of the folders right below `prefix`, in their order."""
        for page in self._pages(prefix, None, {"Delimiter": "/"}):
            for folder in page.get("CommonPrefixes", ()):
                yield folder["Prefix"].removeprefix(prefix).rstrip("/")

    def at(self, bucket: str, prefix: str) -> S3ImageStore:
        """Return the same store at another bucket and prefix. No call is made."""
        return self._copy(bucket, prefix, self._budget)

    def presigned_url(self, key: str, seconds: int) -> str:
        """Return a link that opens one object for a while; see `ImageStore.presigned_url`."""
        return self._client.generate_presigned_url(
            "get_object", Params={"Bucket": self.bucket, "Key": key}, ExpiresIn=seconds
        )

    def delete(self, key: str) -> None:
        """Take an object away, or none where there is none."""
        self._call(
            lambda: self._client.delete_object(Bucket=self.bucket, Key=key),
            doing="delete",
            key=key,
        )

    def server_time(self) -> datetime | None:
        """Return the time by the store's own clock (the `Date` of a listing's answer)."""
        headers = self._list_one()["ResponseMetadata"].get("HTTPHeaders", {})
        try:
            return parsedate_to_datetime(headers["date"])
        except (LookupError, ValueError):
            return None

    def _list_one(self) -> ListObjectsV2OutputTypeDef:
        prefix = f"{self.prefix}/" if self.prefix else ""
        return self._page(prefix, 1, {}, doing="list the bucket")

    def _copy(self, bucket: str, prefix: str, budget: RetryBudget) -> S3ImageStore:
        return S3ImageStore(
            bucket,
            prefix,
            self._client,
            self._clock,
            extra_put_args=self._extra,
            budget=budget,
            honors_condition=self._honors_condition if bucket == self.bucket else None,
        )

    def _pages(
        self, prefix: str, limit: int | None, more: dict[str, Any]
    ) -> Iterator[ListObjectsV2OutputTypeDef]:
        """Return a listing page by page, to its end or to the object `limit`."""
        place: dict[str, str] = {}
        while limit is None or limit > 0:
            page = self._page(
                prefix, _PAGE if limit is None else min(limit, _PAGE), {**more, **place}
            )
            if limit is not None:
                page["Contents"] = page.get("Contents", [])[:limit]
                limit -= len(page["Contents"])
            yield page
            if not page.get("IsTruncated"):
                return
            token = str(page.get("NextContinuationToken", ""))
            if token in ("", place.get("ContinuationToken")):
                raise StorageError(
                    f"{self.uri(prefix)} cannot be listed to its end: the store says that there "
                    "is more, and not where"
                )
            place = {"ContinuationToken": token}

    def _page(
        self, prefix: str, size: int, more: dict[str, Any], *, doing: str = "list"
    ) -> ListObjectsV2OutputTypeDef:
        return self._call(
            lambda: self._client.list_objects_v2(
                Bucket=self.bucket, Prefix=prefix, MaxKeys=size, **more
            ),
            doing=doing,
            key=prefix,
        )

    # -- writing ----------------------------------------------------------------------------

    def _upload_bytes(self, key: str, content: bytes, media_type: str) -> Upload:
        return Upload(
            key=key,
            content=io.BytesIO(content),
            media_type=media_type,
            sha256=hashlib.sha256(content).hexdigest(),
            size_bytes=len(content),
            extra=self._extra,
        )

    def _create_or_see(self, upload: Upload, look: Callable[[str], T | None]) -> T | None:
        """Create an object; else return what `look` finds under its key. None: it was created."""
        for _ in range(self._budget.attempts):
            if self._create(upload):
                return None
            existing = look(upload.key)
            if existing is not None:
                return existing
            # 409: another writer's upload was under way, and has ended in nothing since.
            self._clock.sleep(self._budget.first_delay_seconds)
        raise StorageError(
            f"Cannot store {self.uri(upload.key)}: another writer is always in the way. Is a "
            "second process storing the same night? What is there is intact; run it again."
        )

    def _create(self, upload: Upload) -> bool:
        """Write unless the key exists; False: somebody has it, or is writing it."""
        conditional = self._store_honors_condition()
        # Before a large upload the question is cheaper than the refusal after it.
        ask_first = not conditional or upload.is_multipart
        if ask_first and self.head(upload.key) is not None:
            return False
        created = self._try_to_create(upload, conditional=conditional, doing="store")
        if created is None:
            # Known for single writes, but not at the end of a multipart upload.
            self._honors_condition = False
            return self._create(upload)
        return created

    def _try_to_create(self, upload: Upload, *, conditional: bool, doing: str) -> bool | None:
        """Write; False: the key exists; None: the store does not implement the condition."""
        condition = {"IfNoneMatch": "*"} if conditional else {}

        def write() -> bool | None:
            try:
                send(self._client, self.bucket, upload, condition=condition)
            except ClientError as error:
                if answers_that_it_exists(error):
                    return False
                if conditional and status_of(error) == NOT_IMPLEMENTED:
                    return None
                raise
            return True

        return self._call(write, doing=doing, key=upload.key)

    def _store_honors_condition(self) -> bool:
        """Find out, once, whether a second conditional write of one key is refused."""
        with self._lock:
            if self._honors_condition is None:
                upload = self._upload_bytes(self.key("_store.json"), _PROBE, "application/json")
                # Twice, because in a fresh bucket only the second one must be refused.
                doing = "try a conditional write"
                self._honors_condition = any(
                    self._try_to_create(upload, conditional=True, doing=doing) is False
                    for _ in range(2)
                )
            return self._honors_condition

    # -- calling ----------------------------------------------------------------------------

    def _unless_absent(self, action: Callable[[], T], *, doing: str, key: str) -> T | None:
        def attempt() -> T | None:
            try:
                return action()
            except ClientError as error:
                if code_of(error) not in _ABSENT:
                    raise
                return None

        result = self._call(attempt, doing=doing, key=key)
        if result is None and not self._bucket_seen:
            # A HEAD of a key says 404 for a missing bucket, too.
            self.check()
        return result
