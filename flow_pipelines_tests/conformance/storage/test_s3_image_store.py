"""The contract on a real S3 server, and on servers that know nothing of `If-None-Match`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse

from flow_pipelines.storage import S3ImageStore
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines_tests.buckets import BucketServer, aws_environment
from flow_pipelines_tests.conformance.storage.image_store_contract import (
    ImageStoreContract,
    put_new,
)
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.storage.s3_script import answer

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WRITES = ("PutObject", "CompleteMultipartUpload")


def leave_alone(client: S3Client) -> None:
    pass


def ignore_the_condition(client: S3Client) -> None:
    """Make a server that overwrites whatever the condition says."""

    def strip(params: dict[str, Any], **_: Any) -> None:
        params["headers"].pop("If-None-Match", None)

    for operation in WRITES:
        client.meta.events.register(f"before-call.s3.{operation}", strip)


def refuse(operations: tuple[str, ...]) -> Callable[[S3Client], None]:
    """Make a server that says of a conditional write that it is not implemented."""

    def setup(client: S3Client) -> None:
        def respond(request: Any, **_: Any) -> AWSResponse | None:
            if "If-None-Match" not in request.headers:
                return None
            return answer(501, "NotImplemented", url=request.url)

        for operation in operations:
            client.meta.events.register(f"before-send.s3.{operation}", respond)

    return setup


class TestS3ImageStore(ImageStoreContract):
    __test__ = True
    setup_client = staticmethod(leave_alone)

    @pytest.fixture(scope="class")
    @classmethod
    def client(cls, bucket_process: BucketServer) -> Iterator[S3Client]:
        with aws_environment(bucket_process.endpoint_url):
            client = bucket_process.client()
        cls.setup_client(client)
        yield client
        client.close()

    @pytest.fixture
    def store(self, bucket_server: BucketServer, client: S3Client) -> ImageStore:
        return S3ImageStore(bucket_server.bucket, "flow", client, ManualClock())

    @pytest.fixture
    def store_without_bucket(self, client: S3Client) -> ImageStore:
        return S3ImageStore("no-such-bucket", "flow", client, ManualClock())


class TestOnAServerThatIgnoresTheCondition(TestS3ImageStore):
    exclusive = False
    setup_client = staticmethod(ignore_the_condition)


class TestOnAServerThatRefusesTheCondition(TestS3ImageStore):
    exclusive = False
    setup_client = staticmethod(refuse(WRITES))


class TestOnAServerThatRefusesItForPartsOnly(TestS3ImageStore):
    setup_client = staticmethod(refuse(("CompleteMultipartUpload",)))


def test_no_store_leaves_out_or_replaces_a_test_of_the_contract() -> None:
    ours = {name for name in vars(ImageStoreContract) if name.startswith("test_")}
    for store in [TestS3ImageStore, *TestS3ImageStore.__subclasses__()]:
        assert ours.isdisjoint(vars(store))
        assert inspect.getmro(store)[-2] is ImageStoreContract


@pytest.mark.case(
    "a listing of keys ended at 1,000 without a word",
    "it goes on to its end, unless whoever asks names a limit",
)
def test_a_listing_goes_on_past_the_first_thousand(bucket_server: BucketServer) -> None:
    folder = bucket_server.root / bucket_server.bucket / "flow" / "many"
    folder.mkdir(parents=True)
    for number in range(1005):
        (folder / f"{number:04}.png").touch()
    store = S3ImageStore(bucket_server.bucket, "flow", bucket_server.client(), ManualClock())
    names = [f"flow/many/{number:04}.png" for number in range(1005)]
    assert list(store.list_keys("flow/many/")) == names
    assert [found.key for found in store.list_objects("flow/many/")] == names
    assert list(store.list_keys("flow/many/", limit=5000)) == names
    assert list(store.list_keys("flow/many/", limit=1002)) == names[:1002]


def test_folders_past_the_first_thousand_are_listed(bucket_server: BucketServer) -> None:
    above = bucket_server.root / bucket_server.bucket / "flow" / "posters"
    for number in range(1005):
        (above / f"{number:04}").mkdir(parents=True)
        (above / f"{number:04}" / "a.json").touch()
    store = S3ImageStore(bucket_server.bucket, "flow", bucket_server.client(), ManualClock())
    found = list(store.list_folders("flow/posters/"))
    assert found == [f"{number:04}" for number in range(1005)]


def test_a_store_without_a_prefix_uses_the_bucket_itself(bucket_server: BucketServer) -> None:
    store = S3ImageStore(bucket_server.bucket, "", bucket_server.client(), ManualClock())
    put_new(store, store.key("posters", "a.png"), b"x")
    assert (bucket_server.root / bucket_server.bucket / "posters" / "a.png").read_bytes() == b"x"
