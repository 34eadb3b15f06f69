"""From a provider's answer to the bucket, whole or not at all."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flow_pipelines.model.errors import OutputDoubted, OutputTooLarge, StorageError, TransferError
from flow_pipelines.storage import S3ImageStore
from flow_pipelines.storage.promises import Promise
from flow_pipelines.storage.transfer import (
    Belief,
    Place,
    TextDownload,
    TransferLimits,
    store_output,
)
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


PLACE = Place(
    key_for=lambda extension: f"flow/posters/images/a.{extension}", metadata={"batch": "posters"}
)
A_DAY = Belief(after_a_day=True)
PICTURE = Promise(names=("ComfyUI_00001_.png",))


@pytest.fixture
def limits(tmp_path: Path) -> TransferLimits:
    return TransferLimits(max_bytes=100_000, spool_dir=tmp_path)


def test_an_output_arrives_with_what_was_verified_about_it(
    store: S3ImageStore, limits: TransferLimits, tmp_path: Path
) -> None:
    content = picture("WEBP")
    facts = store_output(
        BytesDownload(content, announced=len(content)), store, PLACE, limits=limits
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
    facts = store_output(BytesDownload(content), store, PLACE, limits=limits)
    assert facts.sha256 == hashlib.sha256(content).hexdigest()
    assert store.get(facts.s3_key) == content
    assert list(tmp_path.iterdir()) == []


def test_storing_an_output_twice_gives_the_same_facts(
    store: S3ImageStore, limits: TransferLimits
) -> None:
    first, second = (
        store_output(BytesDownload(picture()), store, PLACE, limits=limits) for _ in range(2)
    )
    assert first == second


@pytest.mark.parametrize(
    ("download", "error"),
    [
        (BytesDownload(picture(), announced=len(picture()) + 1), TransferError),
        (BytesDownload(picture(), announced=len(picture()) - 1), TransferError),
        (BytesDownload(picture()[:-100]), OutputDoubted),
        (BytesDownload(b""), OutputDoubted),
        (BytesDownload(b"<html>sign in</html>"), OutputDoubted),
        (BytesDownload(b"\0" * 100_001), OutputTooLarge),
    ],
    ids=["shorter than announced", "longer", "cut", "empty", "a page", "too large"],
)
def test_nothing_doubtful_reaches_the_bucket_at_first(
    store: S3ImageStore,
    limits: TransferLimits,
    tmp_path: Path,
    download: BytesDownload,
    error: type[Exception],
) -> None:
    with pytest.raises(error):
        store_output(download, store, PLACE, limits=limits)
    assert list(store.list_keys("flow/")) == []
    assert list(tmp_path.iterdir()) == []


def test_a_cut_picture_that_comes_cut_again_is_what_the_provider_has(
    store: S3ImageStore, limits: TransferLimits
) -> None:
    content = picture("JPEG")[:-100]
    with pytest.raises(OutputDoubted) as doubted:
        store_output(BytesDownload(content), store, PLACE, limits=limits)
    assert not doubted.value.lasting
    belief = Belief(seen_sha256=doubted.value.sha256)
    facts = store_output(BytesDownload(content), store, PLACE, belief=belief, limits=limits)
    assert (facts.verified, facts.s3_key) == ("damaged", "flow/posters/images/a.damaged.jpg")
    assert store.get(facts.s3_key) == content


@pytest.mark.case(
    "a CDN's error page under 200 was refused for ever, or would have been kept as the picture",
    "it is fetched again for a day, then kept as damaged; a later good picture has the plain key",
)
def test_an_error_page_is_kept_after_a_day_and_leaves_the_plain_key_free(
    store: S3ImageStore, limits: TransferLimits
) -> None:
    for number in (1, 2):
        # Each page has a number of its own: what is there is as good.
        page = BytesDownload(b"<html>Ray ID %d</html>" % number)
        facts = store_output(page, store, PLACE, promise=PICTURE, belief=A_DAY, limits=limits)
        assert (facts.verified, facts.media_type) == ("damaged", "application/octet-stream")
    assert store.get(facts.s3_key) == b"<html>Ray ID 1</html>"
    assert facts.sha256 == hashlib.sha256(b"<html>Ray ID 1</html>").hexdigest()
    good = store_output(BytesDownload(picture()), store, PLACE, promise=PICTURE, limits=limits)
    assert (good.verified, good.s3_key) == ("decoded", "flow/posters/images/a.png")


def test_the_same_text_twice_is_no_proof_that_a_picture_is_one(
    store: S3ImageStore, limits: TransferLimits
) -> None:
    page = b"<html>sign in</html>"
    belief = Belief(seen_sha256=hashlib.sha256(page).hexdigest())
    with pytest.raises(OutputDoubted) as doubted:
        store_output(BytesDownload(page), store, PLACE, belief=belief, limits=limits)
    assert doubted.value.lasting


def test_the_providers_own_size_is_believed_before_the_answers(
    store: S3ImageStore, limits: TransferLimits
) -> None:
    content = picture()
    promise = Promise(size_bytes=len(content) + 1)
    cut = BytesDownload(content, announced=len(content))
    with pytest.raises(OutputDoubted, match="the provider says") as doubted:
        store_output(cut, store, PLACE, promise=promise, limits=limits)
    assert doubted.value.lasting


def test_an_output_is_read_in_pieces(store: S3ImageStore, limits: TransferLimits) -> None:
    download = BytesDownload(picture())
    store_output(download, store, PLACE, limits=limits)
    assert 0 < download.largest <= 1024 * 1024


@pytest.mark.parametrize("text", ["a caption, naïve", ""])
def test_a_text_output_is_stored_as_text(
    store: S3ImageStore, limits: TransferLimits, text: str
) -> None:
    facts = store_output(
        TextDownload(text), store, PLACE, promise=Promise(kind="text"), limits=limits
    )
    assert facts.s3_key.endswith(".txt")
    assert facts.media_type == "text/plain; charset=utf-8"
    assert store.get(facts.s3_key) == text.encode()


def test_a_spool_folder_that_cannot_be_used_is_named(store: S3ImageStore, tmp_path: Path) -> None:
    limits = TransferLimits(memory_bytes=1, spool_dir=tmp_path / "gone")
    with pytest.raises(StorageError, match="gone"):
        store_output(BytesDownload(picture()), store, PLACE, limits=limits)
