"""What the store does when the bucket misbehaves."""

from __future__ import annotations

import hashlib
import io
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    ReadTimeoutError,
)

from flow_pipelines.model.errors import ConfigurationError, StorageError
from flow_pipelines.retries import RetryBudget
from flow_pipelines.storage import S3ImageStore, make_client
from flow_pipelines.storage.contract import ObjectNotes
from flow_pipelines_tests.buckets import ACCESS_KEY, SECRET_KEY, BucketServer, aws_environment
from flow_pipelines_tests.conformance.storage.image_store_contract import LARGE, put_new
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.storage.s3_script import Script, Step, answer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

KEY = "flow/posters/a.png"
URL = "http://127.0.0.1/"
Play = Callable[..., Script]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def store(bucket_server: BucketServer, client: S3Client, clock: ManualClock) -> S3ImageStore:
    return S3ImageStore(bucket_server.bucket, "flow", client, clock)


@pytest.fixture
def play(client: S3Client) -> Iterator[Play]:
    """Script an operation of the shared client for the length of one test."""
    scripts: list[Script] = []

    def start(operation: str, *steps: Step) -> Script:
        scripts.append(Script(client, operation, *steps))
        return scripts[-1]

    yield start
    for script in scripts:
        script.stop()


def object_file(server: BucketServer, key: str = KEY) -> Path:
    return server.root / server.bucket / key


@pytest.mark.parametrize(
    "step",
    [
        answer(503, "SlowDown"),
        answer(500, "InternalError"),
        answer(507, "QuotaExceeded"),
        answer(429, "TooManyRequests"),
        answer(400, "RequestTimeout"),
        answer(400, "BadDigest"),
        ReadTimeoutError(endpoint_url=URL),
        ConnectTimeoutError(endpoint_url=URL),
        EndpointConnectionError(endpoint_url=URL),
    ],
    ids=lambda step: getattr(step, "status_code", type(step).__name__),
)
def test_a_write_that_may_succeed_later_is_repeated(
    store: S3ImageStore, play: Play, clock: ManualClock, step: Step
) -> None:
    writes = play("PutObject", step, step)
    put_new(store, KEY, b"picture")
    assert store.get(KEY) == b"picture"
    assert len(writes.requests) == 3
    assert clock.slept == [0.5, 1.0]


@pytest.mark.parametrize("status", [503, 507])
def test_a_bucket_that_stays_full_is_given_up_within_the_budget(
    store: S3ImageStore, play: Play, clock: ManualClock, status: int
) -> None:
    writes = play("PutObject", *(answer(status, "QuotaExceeded") for _ in range(99)))
    with pytest.raises(StorageError, match="QuotaExceeded") as raised:
        put_new(store, KEY, b"picture")
    assert store.uri(KEY) in str(raised.value)
    assert len(writes.requests) == 5
    assert sum(clock.slept) < 60


def test_no_try_begins_after_the_budgets_last_second(
    bucket_server: BucketServer, client: S3Client, play: Play, clock: ManualClock
) -> None:
    budget = RetryBudget(attempts=99, total_seconds=10.0, first_delay_seconds=0.5)
    store = S3ImageStore(bucket_server.bucket, "flow", client, clock, budget=budget)
    play("GetObject", *(answer(503, "SlowDown") for _ in range(99)))
    with pytest.raises(StorageError):
        store.get(KEY)
    assert clock.slept == [0.5, 1.0, 2.0, 4.0]


def test_an_answer_that_no_repeating_can_change_is_not_repeated(
    store: S3ImageStore, play: Play, clock: ManualClock
) -> None:
    writes = play("PutObject", answer(400, "EntityTooLarge", message="too much"))
    with pytest.raises(StorageError, match="EntityTooLarge: too much"):
        store.put(KEY, b"table", media_type="application/octet-stream")
    assert (len(writes.requests), clock.slept) == (1, [])


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (404, "NoSuchBucket", "FLOW_PIPELINES_BUCKET"),
        (403, "AccessDenied", "s3:PutObject"),
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (400, "ExpiredToken", "AWS_SESSION_TOKEN"),
        (403, "SomethingNewAboutRights", "s3:PutObject"),
        (400, "AuthorizationHeaderMalformed", "AWS_REGION"),
        (403, "RequestTimeTooSkewed", "clock"),
    ],
)
def test_what_a_person_has_to_set_right_is_said_at_once(
    store: S3ImageStore, play: Play, clock: ManualClock, status: int, code: str, advice: str
) -> None:
    play("PutObject", answer(status, code))
    with pytest.raises(ConfigurationError, match=advice) as raised:
        put_new(store, KEY, b"picture")
    assert repr(store.bucket) in str(raised.value)
    assert clock.slept == []


def test_a_refused_look_names_keys_and_rights(store: S3ImageStore, play: Play) -> None:
    play("HeadObject", answer(403))
    with pytest.raises(ConfigurationError, match=r"AWS_ACCESS_KEY_ID.*s3:ListBucket"):
        store.head(KEY)


def test_missing_credentials_are_asked_for_by_name(bucket_process: BucketServer) -> None:
    with aws_environment(bucket_process.endpoint_url) as patch:
        patch.delenv("AWS_ACCESS_KEY_ID")
        patch.delenv("AWS_SECRET_ACCESS_KEY")
        patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(bucket_process.root / "none"))
        patch.setenv("AWS_CONFIG_FILE", str(bucket_process.root / "none"))
        store = S3ImageStore("pictures", "flow", make_client(), ManualClock())
        with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
            store.check()


def test_an_unknown_profile_is_said_by_name() -> None:
    with aws_environment() as patch:
        patch.setenv("AWS_PROFILE", "nobody")
        with pytest.raises(ConfigurationError, match="AWS_PROFILE"):
            make_client()


def test_a_store_that_is_not_up_is_asked_for_a_while_and_named(clock: ManualClock) -> None:
    with aws_environment("http://127.0.0.1:9"):
        store = S3ImageStore("pictures", "flow", make_client(), clock)
        with pytest.raises(StorageError, match="AWS_ENDPOINT_URL_S3"):
            store.put(KEY, b"x", media_type="image/png")
    assert clock.slept == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("status", "code"), [(403, "SignatureDoesNotMatch"), (403, "InvalidAccessKeyId"), (400, "Odd")]
)
def test_no_key_is_in_what_an_error_says(
    store: S3ImageStore, play: Play, status: int, code: str
) -> None:
    signed = f"https://s3/x?X-Amz-Credential={ACCESS_KEY}&X-Amz-Signature={SECRET_KEY}"
    play("PutObject", answer(status, code, message=signed.replace("&", "&amp;")))
    with pytest.raises((ConfigurationError, StorageError)) as raised:
        store.put(KEY, b"x", media_type="image/png")
    assert ACCESS_KEY not in str(raised.value)
    assert SECRET_KEY not in str(raised.value)


def test_a_write_whose_answer_was_lost_is_recognized_as_ours(
    store: S3ImageStore, bucket_server: BucketServer, play: Play
) -> None:
    def store_and_lose_the_answer() -> Exception:
        object_file(bucket_server).parent.mkdir(parents=True)
        object_file(bucket_server).write_bytes(b"picture")
        return ReadTimeoutError(endpoint_url=URL)

    play("PutObject", store_and_lose_the_answer)
    stored = put_new(store, KEY, b"picture")
    assert stored.sha256 == hashlib.sha256(b"picture").hexdigest()
    assert object_file(bucket_server).read_bytes() == b"picture"


def test_another_writer_that_gives_up_does_not_keep_us_out(store: S3ImageStore, play: Play) -> None:
    writes = play("PutObject", answer(409, "ConditionalRequestConflict"))
    put_new(store, KEY, b"picture")
    assert store.get(KEY) == b"picture"
    assert len(writes.requests) == 2


def test_another_writer_that_is_always_there_is_an_error(store: S3ImageStore, play: Play) -> None:
    play("PutObject", *(answer(409, "ConditionalRequestConflict") for _ in range(99)))
    with pytest.raises(StorageError, match="always in the way"):
        put_new(store, KEY, b"picture")


def test_the_checksum_in_the_metadata_saves_reading_the_object(
    store: S3ImageStore, play: Play
) -> None:
    sha256 = hashlib.sha256(b"picture").hexdigest()
    play("PutObject", answer(412, "PreconditionFailed"))
    play("HeadObject", answer(200, headers={"x-amz-meta-sha256": sha256}))
    reads = play("GetObject")
    assert put_new(store, KEY, b"picture").sha256 == sha256
    assert reads.requests == []


def test_every_write_carries_its_checksum_and_the_extra_arguments(
    bucket_server: BucketServer, client: S3Client, play: Play
) -> None:
    extra = {"ServerSideEncryption": "AES256"}
    store = S3ImageStore(bucket_server.bucket, "flow", client, ManualClock(), extra_put_args=extra)
    requests = [play("PutObject"), play("CreateMultipartUpload")]
    put_new(store, KEY, b"picture")
    put_new(store, KEY + ".large", b"x" * LARGE)
    small, large = (script.requests[0].headers for script in requests)
    sha256 = hashlib.sha256(b"picture").hexdigest()
    assert text(small["x-amz-meta-sha256"]) == text(small["X-Amz-Content-SHA256"]) == sha256
    assert text(large["x-amz-meta-sha256"]) == hashlib.sha256(b"x" * LARGE).hexdigest()
    assert {text(h["x-amz-server-side-encryption"]) for h in (small, large)} == {"AES256"}
    assert text(small["If-None-Match"]) == "*"


@pytest.mark.parametrize("size", [7, LARGE], ids=["small", "in parts"])
def test_an_object_says_whose_it_is_and_that_it_is_to_be_saved(
    bucket_server: BucketServer, client: S3Client, play: Play, size: int
) -> None:
    extra = {"Metadata": {"team": "posters"}}
    store = S3ImageStore(bucket_server.bucket, "flow", client, ManualClock(), extra_put_args=extra)
    script = play("PutObject" if size < LARGE else "CreateMultipartUpload")
    content = b"x" * size
    store.put_new(
        KEY,
        io.BytesIO(content),
        media_type="application/octet-stream",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=size,
        notes=ObjectNotes(metadata={"batch": "posters"}, attachment=True),
    )
    headers = script.requests[0].headers
    told = {name: text(headers[f"x-amz-meta-{name}"]) for name in ("batch", "team", "sha256")}
    assert told == {
        "batch": "posters",
        "team": "posters",
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    assert text(headers["Content-Disposition"]) == "attachment"


def text(header: Any) -> str:
    return header.decode() if isinstance(header, bytes) else str(header)


@pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
def test_an_upload_in_parts_that_fails_leaves_nothing_behind(
    store: S3ImageStore, bucket_server: BucketServer, play: Play, operation: str
) -> None:
    play(operation, answer(400, "InvalidPart"))
    with pytest.raises(StorageError, match="InvalidPart"):
        put_new(store, KEY, b"x" * LARGE)
    assert store.head(KEY) is None
    assert list((bucket_server.root / ".localbucket-uploads").iterdir()) == []


def test_parts_whose_completion_was_lost_are_recognized_as_ours(
    store: S3ImageStore, bucket_server: BucketServer, play: Play
) -> None:
    def complete_and_lose_the_answer() -> Exception:
        object_file(bucket_server).parent.mkdir(parents=True, exist_ok=True)
        object_file(bucket_server).write_bytes(b"x" * LARGE)
        return ReadTimeoutError(endpoint_url=URL)

    play("CompleteMultipartUpload", complete_and_lose_the_answer)
    assert put_new(store, KEY, b"x" * LARGE).size_bytes == LARGE
    assert list((bucket_server.root / ".localbucket-uploads").iterdir()) == []


def test_a_file_shorter_than_announced_is_not_stored(store: S3ImageStore) -> None:
    with pytest.raises(StorageError, match="Collect this output again"):
        store.put_new(
            KEY,
            io.BytesIO(b"x" * 100),
            media_type="image/png",
            sha256=hashlib.sha256(b"").hexdigest(),
            size_bytes=LARGE,
        )
    assert store.head(KEY) is None


def test_a_body_that_breaks_off_is_read_again(store: S3ImageStore, play: Play) -> None:
    store.put(KEY, b"0123456789", media_type="text/plain")
    reads = play("GetObject", answer(200, body=b"01234", headers={"content-length": "10"}))
    assert store.get(KEY) == b"0123456789"
    assert len(reads.requests) == 2


def test_the_original_error_stays_visible_as_the_cause(store: S3ImageStore, play: Play) -> None:
    play("GetObject", answer(400, "Odd"))
    with pytest.raises(StorageError) as raised:
        store.get(KEY)
    assert isinstance(raised.value.__cause__, ClientError)
    assert "Odd" in "".join(traceback.format_exception(raised.value))


def test_a_write_whose_answer_was_lost_is_known_by_its_content(
    store: S3ImageStore, client: S3Client, play: Play
) -> None:
    store.create_json("flow/other.json", {})

    def stored_and_lost() -> Exception:
        assert client.put_object(Bucket=store.bucket, Key=KEY, Body=b"{}")
        return ReadTimeoutError(endpoint_url=URL)

    play("PutObject", stored_and_lost, None)
    assert store.put_once(KEY, b"{}", seconds=10)


@pytest.mark.case(
    "a bucket that hangs keeps an intent waiting until it may not be sent any more",
    "the write ends within its seconds, with nothing sent",
)
def test_a_write_with_a_deadline_ends_in_time_whatever_hangs(
    store: S3ImageStore, play: Play
) -> None:
    store.create_json("flow/other.json", {})
    hanging = threading.Event()

    def hang() -> None:
        hanging.wait(30)

    play("PutObject", hang)
    try:
        with pytest.raises(StorageError, match=r"did not answer within 0\.2 s"):
            store.put_once(KEY, b"{}", seconds=0.2)
    finally:
        hanging.set()


def test_retries_end_before_the_deadline(
    store: S3ImageStore, play: Play, clock: ManualClock
) -> None:
    store.create_json("flow/other.json", {})
    play("PutObject", *(answer(503, "SlowDown") for _ in range(99)))
    with pytest.raises(StorageError, match="SlowDown"):
        store.put_once(KEY, b"{}", seconds=10)
    assert 0 < sum(clock.slept) < 10


def test_a_listing_that_says_there_is_more_and_not_where_is_refused(
    store: S3ImageStore, play: Play
) -> None:
    body = (
        b"<ListBucketResult><IsTruncated>true</IsTruncated>"
        b"<NextContinuationToken>same</NextContinuationToken></ListBucketResult>"
    )
    listings = play("ListObjectsV2", *(answer(200, body=body) for _ in range(9)))
    with pytest.raises(StorageError, match="cannot be listed to its end"):
        list(store.list_keys("flow/"))
    assert len(listings.requests) == 2
