"""Sends one object to S3: in one request, or in parts above 16 MiB."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import itertools
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from botocore.exceptions import ClientError

from flow_pipelines.model.errors import ObjectDiffers, StorageError
from flow_pipelines.storage.contract import NO_NOTES, ObjectNotes, StoredObject
from flow_pipelines.storage.s3_errors import S3Error, code_of

if TYPE_CHECKING:
    from io import BufferedIOBase

    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

MULTIPART_ABOVE_BYTES = 16 * 1024 * 1024
PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes as a part; what is no larger is sent from memory in one piece."""
PARTS_AT_A_TIME = 2
"""Of one object: while the store works on one part, the next is on its way."""

# 412: the key exists. 409: another write of the key is under way, or won a moment ago.
# NoSuchUpload: something ended our upload; the key tells whether it was a completion.
# The vendor's page: docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
_EXISTS = frozenset({
    "PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchUpload",
})  # fmt: skip


def answers_that_it_exists(error: ClientError) -> bool:
    """Return whether a conditional write was refused for the key's sake: look at the key."""
    return code_of(error) in _EXISTS


@dataclass(frozen=True, kw_only=True)
class Upload:
    """One object on its way into the bucket."""

    key: str
    content: BinaryIO = field(repr=False)
    """Seekable; read from its start on every try."""
    media_type: str
    sha256: str
    size_bytes: int
    notes: ObjectNotes = NO_NOTES
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_multipart(self) -> bool:
        """Return whether it is too large for one request."""
        return self.size_bytes > MULTIPART_ABOVE_BYTES

    @property
    def put_args(self) -> dict[str, Any]:
        """Return what the request that creates the object says about it."""
        more = dict(self.extra)
        noted = {**more.pop("Metadata", {}), **self.notes.metadata, "sha256": self.sha256}
        shown = {"ContentDisposition": "attachment"} if self.notes.attachment else {}
        return {"ContentType": self.media_type, "Metadata": noted, **more, **shown}


def send(client: S3Client, bucket: str, upload: Upload, *, condition: Mapping[str, Any]) -> None:
    """Write the object; it becomes visible whole or not at all.

    Raises: whatever boto3 raises; StorageError, when `content` is not `size_bytes` long.
    """
    if upload.is_multipart:
        _send_parts(client, bucket, upload, condition)
        return
    upload.content.seek(0)
    if upload.size_bytes <= PART_BYTES:
        body: bytes | BinaryIO = _whole(bucket, upload)
        md5 = _md5(cast("bytes", body))
    else:
        body = upload.content
        md5 = hashlib.file_digest(cast("BufferedIOBase", body), _new_md5).digest()
        body.seek(0)
    client.put_object(
        Bucket=bucket,
        Key=upload.key,
        Body=body,
        ContentLength=upload.size_bytes,
        **{"ContentMD5": base64.b64encode(md5).decode(), **upload.put_args},
        **condition,
    )


def _md5(content: bytes | bytearray) -> bytes:
    return _new_md5(content).digest()


def _new_md5(content: bytes | bytearray = b"") -> hashlib._Hash:
    """Begin what S3 calls Content-MD5.

    A bucket with Object Lock takes no write without a checksum, and this is the one that every
    store knows. Source: docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html.
    """
    return hashlib.md5(content, usedforsecurity=False)


def _send_parts(
    client: S3Client, bucket: str, upload: Upload, condition: Mapping[str, Any]
) -> None:
    begun = client.create_multipart_upload(Bucket=bucket, Key=upload.key, **upload.put_args)
    upload_id = begun["UploadId"]
    try:
        parts = _upload_parts(client, bucket, upload, upload_id)
        client.complete_multipart_upload(
            Bucket=bucket,
            Key=upload.key,
            UploadId=upload_id,
            MultipartUpload={"Parts": parts},
            **condition,
        )
    except BaseException:
        # Parts that nobody completes are stored, and billed, for ever.
        with contextlib.suppress(*S3Error):
            client.abort_multipart_upload(Bucket=bucket, Key=upload.key, UploadId=upload_id)
        raise


def _upload_parts(
    client: S3Client, bucket: str, upload: Upload, upload_id: str
) -> list[CompletedPartTypeDef]:
    def send_part(number: int, content: bytearray) -> CompletedPartTypeDef:
        answer = client.upload_part(
            Bucket=bucket,
            Key=upload.key,
            UploadId=upload_id,
            PartNumber=number,
            Body=cast("bytes", content),
            ContentMD5=base64.b64encode(_md5(content)).decode(),
        )
        return {"ETag": answer["ETag"], "PartNumber": number}

    upload.content.seek(0)
    parts: list[CompletedPartTypeDef] = []
    under_way: deque[tuple[Future[CompletedPartTypeDef], bytearray]] = deque()
    sent_bytes = 0
    with ThreadPoolExecutor(PARTS_AT_A_TIME, thread_name_prefix="part") as pool:
        for number in itertools.count(1):
            if len(under_way) == PARTS_AT_A_TIME:
                sending, buffer = under_way.popleft()
                parts.append(sending.result())
            else:
                buffer = bytearray(PART_BYTES)
            if not _fill(buffer, upload.content):
                break
            sent_bytes += len(buffer)
            under_way.append((pool.submit(send_part, number, buffer), buffer))
        parts += [sending.result() for sending, _ in under_way]
    _compare_length(bucket, upload, sent_bytes)
    return parts


def _whole(bucket: str, upload: Upload) -> bytes:
    buffer = bytearray(upload.size_bytes)
    _compare_length(bucket, upload, _fill(buffer, upload.content))
    return cast("bytes", buffer)


def _fill(buffer: bytearray, content: BinaryIO) -> int:
    """Read until it is full, or cut it at the content's end; return its length.

    Unlike bytes, botocore sends it as it is.
    """
    filled = 0
    with memoryview(buffer) as view:
        while count := cast("BufferedIOBase", content).readinto(view[filled:]):
            filled += count
    del buffer[filled:]
    return filled


def _compare_length(bucket: str, upload: Upload, found_bytes: int) -> None:
    if found_bytes != upload.size_bytes:
        raise StorageError(
            f"s3://{bucket}/{upload.key} was not stored: {found_bytes} bytes were there to send, "
            f"{upload.size_bytes} were announced. Collect this output again."
        )


def same_or_refuse(existing: StoredObject, upload: Upload, uri: str) -> StoredObject:
    """Return what is at `uri` already, where it is what was to be stored. Raises: ObjectDiffers."""
    if existing.sha256 == upload.sha256:
        return existing
    raise ObjectDiffers(
        f"{uri} exists with another content ({existing.size_bytes} bytes, "
        f"SHA-256 {str(existing.sha256)[:12]}…; ours {upload.size_bytes} bytes, "
        f"{upload.sha256[:12]}…). Stored images are never overwritten: find out what wrote "
        "it, and move it away if it is not ours."
    )
