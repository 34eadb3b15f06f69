"""What a person set for boto3 holds, and writes carry what a bucket with Object Lock wants."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse

from flow_pipelines.model.errors import StorageError, StorageRefused
from flow_pipelines.storage import S3ImageStore, make_client
from flow_pipelines_tests.buckets import BucketServer, aws_environment
from flow_pipelines_tests.conformance.storage.image_store_contract import LARGE, put_new
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.storage.s3_script import answer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

STREAMED = 6 * 1024 * 1024
"""Too large to be held in memory, small enough for one request."""
WRITES = ("PutObject", "UploadPart")


@pytest.fixture
def locked(bucket_server: BucketServer, client: S3Client) -> Iterator[S3ImageStore]:
    """A bucket with Object Lock: it refuses each write without a checksum that fits.

    Source: docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html, on Content-MD5.
    """

    def refuse(request: Any, **_: Any) -> AWSResponse | None:
        body = request.body.read() if hasattr(request.body, "read") else bytes(request.body)
        if hasattr(request.body, "seek"):
            request.body.seek(0)
        digest = base64.b64encode(hashlib.md5(body).digest())
        if "Content-MD5" not in request.headers:
            return answer(400, "InvalidRequest", message="Content-MD5 OR x-amz-checksum- needed")
        sent = request.headers["Content-MD5"]
        return None if sent in (digest, digest.decode()) else answer(400, "BadDigest")

    for operation in WRITES:
        client.meta.events.register(f"before-send.s3.{operation}", refuse)
    yield S3ImageStore(bucket_server.bucket, "flow", client, ManualClock())
    for operation in WRITES:
        client.meta.events.unregister(f"before-send.s3.{operation}", refuse)


@pytest.mark.case(
    "a bucket with Object Lock refused every write: no checksum went along",
    "each object and each part is sent with its MD5, which every store knows",
)
@pytest.mark.parametrize("size", [9, STREAMED, LARGE], ids=["small", "streamed", "in parts"])
def test_a_bucket_with_object_lock_takes_every_write(locked: S3ImageStore, size: int) -> None:
    content = b"picture!" * (size // 8) + b"x"
    stored = put_new(locked, locked.key("a.png"), content)
    assert locked.get(stored.key) == content
    locked.put(locked.key("table.parquet"), content, media_type="application/octet-stream")
    assert locked.get(locked.key("table.parquet")) == content


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "config"
    file.write_text("[default]\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(file))
    return file


STYLES = {
    None: "https://pictures.s3.amazonaws.com/a.png",
    "https://minio.example": "https://minio.example/pictures/a.png",
}
OTHER_STYLES = {
    None: ("path", "https://s3.amazonaws.com/pictures/a.png"),
    "https://minio.example": ("virtual", "https://pictures.minio.example/a.png"),
}
ENDPOINTS = pytest.mark.parametrize("endpoint", list(STYLES), ids=["Amazon", "another store"])


def address(endpoint: str | None) -> str:
    store = S3ImageStore("pictures", "", make_client(endpoint), ManualClock())
    return store.presigned_url("a.png", 60).partition("?")[0]


@pytest.mark.case(
    "`addressing_style` of AWS_CONFIG_FILE did not hold at other stores than Amazon's",
    "what the file says of S3 holds at every endpoint; our defaults stand where it says nothing",
)
@ENDPOINTS
def test_the_style_of_addresses_is_the_files_word(endpoint: str | None, config_file: Path) -> None:
    with aws_environment():
        assert address(endpoint) == STYLES[endpoint]
        style, expected = OTHER_STYLES[endpoint]
        config_file.write_text(f"[default]\ns3 =\n  addressing_style = {style}\n")
        assert address(endpoint) == expected


@ENDPOINTS
def test_the_rest_of_the_file_holds_too(endpoint: str | None, config_file: Path) -> None:
    with aws_environment() as patch:
        ours = make_client(endpoint).meta.config
        assert ours.s3["payload_signing_enabled"] is True  # type: ignore[attr-defined]
        assert ours.request_checksum_calculation == "when_required"  # type: ignore[attr-defined]
        config_file.write_text(
            "[default]\nrequest_checksum_calculation = when_supported\n"
            "s3 =\n  payload_signing_enabled = false\n"
        )
        theirs = make_client(endpoint).meta.config
        assert theirs.s3["payload_signing_enabled"] is False  # type: ignore[attr-defined]
        assert theirs.request_checksum_calculation == "when_supported"  # type: ignore[attr-defined]
        patch.setenv("AWS_REQUEST_CHECKSUM_CALCULATION", "when_required")
        theirs = make_client(endpoint).meta.config
        assert theirs.request_checksum_calculation == "when_required"  # type: ignore[attr-defined]


@pytest.mark.case(
    "a request that the bucket refuses for good (HTTP 400) was called passing and tried again",
    "it is an error of its own: repeated neither here nor by Dagster, and its text says so",
)
@pytest.mark.parametrize("status", [400, 405, 413, 501])
def test_a_refusal_for_good_is_told_as_one(
    bucket_server: BucketServer, client: S3Client, status: int
) -> None:
    seen: list[str] = []

    def refuse(request: Any, **_: Any) -> AWSResponse:
        seen.append(request.url)
        return answer(status, "InvalidRequest", message="not this way")

    clock = ManualClock()
    store = S3ImageStore(bucket_server.bucket, "flow", client, clock)
    client.meta.events.register("before-send.s3.PutObject", refuse)
    try:
        with pytest.raises(StorageRefused, match="not this way") as caught:
            store.put("flow/a.txt", b"x", media_type="text/plain")
    finally:
        client.meta.events.unregister("before-send.s3.PutObject", refuse)
    assert (len(seen), clock.slept) == (1, [])
    assert "run it again when" not in str(caught.value)
    assert "cannot help" in str(caught.value)
    assert isinstance(caught.value, StorageError)
