"""From a provider's answer to the bucket, whole or not at all."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flow_pipelines.model.errors import OutputRefused, StorageError, TransferError
from flow_pipelines.storage import S3ImageStore
from flow_pipelines.storage.transfer import TextDownload, TransferLimits, store_output
from flow_pipelines_tests.buckets import BucketServer
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.storage.samples import picture

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class BytesDownload:
    """A download of known bytes that remembers the largest piece asked for."""

    file_name = None

    def __init__(self, content: bytes, *, announced: int | None = None) -> None:
        self.media_type: str | None = "image/png"
        self.size_bytes = announced
        self.largest = 0
        self._file = io.BytesIO(content)

    def read(self, size: int = -1, /) -> bytes:
        self.largest = max(self.largest, size) if size >= 0 else 1 << 60
        return self._file.read(size)


@pytest.fixture
def store(bucket_server: BucketServer, client: S3Client) -> S3ImageStore:
    return S3ImageStore(bucket_server.bucket, "flow", client, ManualClock())


def key_for(extension: str) -> str:
    return f"flow/posters/images/a.{extension}"


@pytest.fixture
def limits(tmp_path: Path) -> TransferLimits:
    return TransferLimits(max_bytes=100_000, spool_dir=tmp_path)


def test_an_output_arrives_with_what_was_verified_about_it(
    store: S3ImageStore, limits: TransferLimits, tmp_path: Path
) -> None:
    content = picture("WEBP")
    facts = store_output(
        BytesDownload(content, announced=len(content)), store, key_for, limits=limits
    )
    assert (facts.bucket, facts.s3_key) == (store.bucket, "flow/posters/images/a.webp")
    assert (facts.media_type, facts.width, facts.height) == ("image/webp", 40, 30)
    assert facts.size_bytes == len(content)
    assert facts.sha256 == hashlib.sha256(content).hexdigest()
    assert store.get(facts.s3_key) == content
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("memory_bytes", [1, 600, 4096])
def test_an_output_is_the_same_from_memory_and_from_a_file(
    store: S3ImageStore, tmp_path: Path, memory_bytes: int
) -> None:
    content = picture("PNG")
    assert 600 < len(content) < 4096
    limits = TransferLimits(memory_bytes=memory_bytes, spool_dir=tmp_path)
    facts = store_output(BytesDownload(content), store, key_for, limits=limits)
    assert facts.sha256 == hashlib.sha256(content).hexdigest()
    assert store.get(facts.s3_key) == content
    assert list(tmp_path.iterdir()) == []


def test_storing_an_output_twice_gives_the_same_facts(
    store: S3ImageStore, limits: TransferLimits
) -> None:
    first, second = (
        store_output(BytesDownload(picture()), store, key_for, limits=limits) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("download", "error"),
    [
        (BytesDownload(picture()[:-100]), TransferError),
        (BytesDownload(picture(), announced=len(picture()) + 1), TransferError),
        (BytesDownload(picture(), announced=len(picture()) - 1), TransferError),
        (BytesDownload(b""), TransferError),
        (BytesDownload(b"<html>sign in</html>"), OutputRefused),
        (BytesDownload(b"x" * 100_001), OutputRefused),
    ],
    ids=["cut", "shorter than announced", "longer", "empty", "a page", "too large"],
)
def test_nothing_doubtful_reaches_the_bucket(
    store: S3ImageStore,
    limits: TransferLimits,
    tmp_path: Path,
    download: BytesDownload,
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        store_output(download, store, key_for, limits=limits)
    assert list(store.list_keys("flow/")) == []
    assert list(tmp_path.iterdir()) == []


def test_an_output_is_read_in_pieces(store: S3ImageStore, limits: TransferLimits) -> None:
    download = BytesDownload(picture())
    store_output(download, store, key_for, limits=limits)
    assert 0 < download.largest <= 1024 * 1024


@pytest.mark.parametrize("text", ["a caption, naïve", ""])
def test_a_text_output_is_stored_as_text(
    store: S3ImageStore, limits: TransferLimits, text: str
) -> None:
    facts = store_output(TextDownload(text), store, key_for, kind="text", limits=limits)
    assert facts.s3_key.endswith(".txt")
    assert facts.media_type == "text/plain; charset=utf-8"
    assert store.get(facts.s3_key) == text.encode()


def test_a_spool_folder_that_cannot_be_used_is_named(store: S3ImageStore, tmp_path: Path) -> None:
    limits = TransferLimits(memory_bytes=1, spool_dir=tmp_path / "gone")
    with pytest.raises(StorageError, match="gone"):
        store_output(BytesDownload(picture()), store, key_for, limits=limits)
