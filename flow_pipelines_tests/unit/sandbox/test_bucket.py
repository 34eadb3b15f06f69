from __future__ import annotations

import io
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest
import requests
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

from flow_pipelines.sandbox.bucket import Bucket

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

NAME = "pictures"
MIB = 1024 * 1024


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    bucket = Bucket(tmp_path, NAME)
    bucket.start()
    yield bucket
    bucket.stop()


@pytest.fixture
def s3(bucket: Bucket) -> S3Client:
    return client(bucket)


def client(bucket: Bucket) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=bucket.url,
        aws_access_key_id="sandbox",
        aws_secret_access_key="sandbox",
        region_name="us-east-1",
        config=Config(proxies={}, retries={"max_attempts": 1}),
    )


def code(error: pytest.ExceptionInfo[ClientError]) -> int:
    return int(error.value.response["ResponseMetadata"]["HTTPStatusCode"])


def test_an_object_comes_back_with_its_metadata_and_media_type(s3: S3Client) -> None:
    s3.put_object(
        Bucket=NAME, Key="a/b.bin", Body=b"x", ContentType="image/webp", Metadata={"sha256": "ab"}
    )
    for answer in (
        s3.get_object(Bucket=NAME, Key="a/b.bin"),
        s3.head_object(Bucket=NAME, Key="a/b.bin"),
    ):
        assert answer["Metadata"] == {"sha256": "ab"}
        assert answer["ContentType"] == "image/webp"
        assert answer["ContentLength"] == 1


def test_overwriting_an_object_replaces_its_metadata(s3: S3Client) -> None:
    s3.put_object(Bucket=NAME, Key="a", Body=b"one", Metadata={"n": "1"})
    s3.put_object(Bucket=NAME, Key="a", Body=b"two", Metadata={"n": "2"})
    s3.put_object(Bucket=NAME, Key="a", Body=b"one")
    answer = s3.get_object(Bucket=NAME, Key="a")
    assert (answer["Body"].read(), answer["Metadata"]) == (b"one", {})


def test_an_object_that_must_be_new_is_written_by_exactly_one_of_many(s3: S3Client) -> None:
    def put(number: int) -> int:
        try:
            s3.put_object(
                Bucket=NAME,
                Key="one",
                Body=str(number),
                IfNoneMatch="*",
                Metadata={"n": str(number)},
            )
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(put, range(8)))
    assert statuses == [200] + [412] * 7
    stored = s3.get_object(Bucket=NAME, Key="one")
    assert stored["Body"].read().decode() == stored["Metadata"]["n"]


def test_a_multipart_upload_arrives_whole_with_metadata_and_refuses_to_replace(
    s3: S3Client,
) -> None:
    content = bytes(range(256)) * (12 * MIB // 256)
    extra = {"Metadata": {"sha256": "cd"}, "ContentType": "image/png"}
    config = TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=5 * MIB)
    s3.upload_fileobj(io.BytesIO(content), NAME, "big.png", ExtraArgs=extra, Config=config)
    answer = s3.get_object(Bucket=NAME, Key="big.png")
    assert answer["Body"].read() == content
    assert answer["Metadata"] == {"sha256": "cd"}
    upload = s3.create_multipart_upload(Bucket=NAME, Key="big.png")["UploadId"]
    part = s3.upload_part(Bucket=NAME, Key="big.png", UploadId=upload, PartNumber=1, Body=b"other")
    with pytest.raises(ClientError) as refused:
        s3.complete_multipart_upload(
            Bucket=NAME,
            Key="big.png",
            UploadId=upload,
            IfNoneMatch="*",
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
        )
    assert code(refused) == 412


def test_an_aborted_multipart_upload_leaves_nothing_to_see(s3: S3Client) -> None:
    upload = s3.create_multipart_upload(Bucket=NAME, Key="half")["UploadId"]
    s3.upload_part(Bucket=NAME, Key="half", UploadId=upload, PartNumber=1, Body=b"x")
    assert s3.list_objects_v2(Bucket=NAME)["KeyCount"] == 0
    s3.abort_multipart_upload(Bucket=NAME, Key="half", UploadId=upload)
    with pytest.raises(ClientError) as missing:
        s3.head_object(Bucket=NAME, Key="half")
    assert code(missing) == 404


def test_listing_pages_by_prefix_in_key_order_and_shows_no_metadata_files(s3: S3Client) -> None:
    for number in range(5):
        s3.put_object(Bucket=NAME, Key=f"night/{number} ü+.png", Body=b"x", Metadata={"a": "b"})
    s3.put_object(Bucket=NAME, Key="other.png", Body=b"x")
    pages = s3.get_paginator("list_objects_v2").paginate(
        Bucket=NAME, Prefix="night/", PaginationConfig={"PageSize": 2}
    )
    keys = [[found["Key"] for found in page["Contents"]] for page in pages]
    assert [len(page) for page in keys] == [2, 2, 1]
    assert [key for page in keys for key in page] == [
        f"night/{number} ü+.png" for number in range(5)
    ]
    top = s3.list_objects_v2(Bucket=NAME, Delimiter="/")
    assert [prefix["Prefix"] for prefix in top["CommonPrefixes"]] == ["night/"]


def test_a_copy_takes_the_metadata_along(s3: S3Client) -> None:
    s3.put_object(Bucket=NAME, Key="a", Body=b"x", Metadata={"n": "1"}, ContentType="image/gif")
    s3.copy_object(Bucket=NAME, Key="b", CopySource={"Bucket": NAME, "Key": "a"})
    answer = s3.head_object(Bucket=NAME, Key="b")
    assert (answer["Metadata"], answer["ContentType"]) == ({"n": "1"}, "image/gif")


def test_ranges_deletes_and_a_missing_bucket_behave(s3: S3Client) -> None:
    s3.put_object(Bucket=NAME, Key="a", Body=b"0123456789")
    assert s3.get_object(Bucket=NAME, Key="a", Range="bytes=2-4")["Body"].read() == b"234"
    s3.delete_object(Bucket=NAME, Key="a")
    with pytest.raises(ClientError) as gone:
        s3.get_object(Bucket=NAME, Key="a")
    assert code(gone) == 404
    with pytest.raises(ClientError) as missing:
        s3.head_bucket(Bucket="another-bucket")
    assert code(missing) == 404


def test_several_objects_can_be_deleted_in_one_call(s3: S3Client) -> None:
    for key in ("a", "b/c", "d&e"):
        s3.put_object(Bucket=NAME, Key=key, Body=b"x")
    wanted = [{"Key": key} for key in ("a", "d&e", "never there")]
    answer = s3.delete_objects(Bucket=NAME, Delete={"Objects": wanted})  # type: ignore[typeddict-item]
    assert [found["Key"] for found in answer["Deleted"]] == ["a", "d&e", "never there"]
    assert [found["Key"] for found in s3.list_objects_v2(Bucket=NAME)["Contents"]] == ["b/c"]


def test_a_body_that_breaks_off_is_not_stored(bucket: Bucket, s3: S3Client) -> None:
    import socket

    host, port = bucket.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            b"PUT /pictures/cut HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nonly this"
        )
        connection.shutdown(socket.SHUT_WR)
        assert b"IncompleteBody" in connection.recv(4096) + connection.recv(4096)
    assert s3.list_objects_v2(Bucket=NAME)["KeyCount"] == 0


def test_objects_survive_a_restart_with_their_metadata(tmp_path: Path) -> None:
    for first in (True, False):
        bucket = Bucket(tmp_path, NAME)
        bucket.start()
        try:
            if first:
                client(bucket).put_object(Bucket=NAME, Key="a/b", Body=b"x", Metadata={"n": "1"})
            answer = client(bucket).get_object(Bucket=NAME, Key="a/b")
            assert (answer["Body"].read(), answer["Metadata"]) == (b"x", {"n": "1"})
        finally:
            bucket.stop()


def test_an_object_put_into_the_folder_by_hand_is_served(bucket: Bucket, tmp_path: Path) -> None:
    (tmp_path / NAME / "hand.txt").write_text("made")
    assert requests.get(f"{bucket.url}/{NAME}/hand.txt", timeout=10).text == "made"
