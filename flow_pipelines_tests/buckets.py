"""A real S3 server on this machine, for tests: objects are plain files in a temporary folder."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flow_pipelines.storage.s3_client import make_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ACCESS_KEY = "a-test-access-key"
SECRET_KEY = "a-test-secret-key"
START_SECONDS = 20.0


@dataclass(frozen=True)
class BucketServer:
    """Where the server answers, and a bucket that exists there."""

    endpoint_url: str
    bucket: str
    root: Path
    """Folder of all buckets: an object is the file `root / bucket / key`."""

    def client(self) -> S3Client:
        """Make a client; `bucket_server` has set credentials in the environment."""
        return make_client(self.endpoint_url, "us-east-1")

    def shared_client(self) -> S3Client:
        """Return the session's client: for tests that change nothing of it."""
        return _client_of(self.endpoint_url)


@cache
def _client_of(endpoint_url: str) -> S3Client:
    return make_client(endpoint_url, "us-east-1")


@contextmanager
def running_bucket(root: Path, bucket: str = "pictures") -> Iterator[BucketServer]:
    """Run a server over `root` on a free port, with one empty bucket; stop it at the end."""
    (root / bucket).mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "localbucket", str(root), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        _wait_until_up(process, port)
        yield BucketServer(f"http://127.0.0.1:{port}", bucket, root)
    finally:
        process.kill()
        process.wait(10)


def _wait_until_up(process: subprocess.Popen[bytes], port: int) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            time.sleep(0.05)  # noqa: TID251 - waits for a real process, proves nothing
        else:
            return
        finally:
            connection.close()
    raise RuntimeError(f"the bucket server did not come up (exit code {process.poll()})")


@contextmanager
def aws_environment(endpoint_url: str | None = None) -> Iterator[pytest.MonkeyPatch]:
    """Replace whatever AWS variables this machine has by the test's own."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_REGION"):
            patch.delenv(name, raising=False)
        patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
        if endpoint_url:
            patch.setenv("AWS_ENDPOINT_URL_S3", endpoint_url)
        else:
            patch.delenv("AWS_ENDPOINT_URL_S3", raising=False)
        yield patch


@pytest.fixture(scope="session")
def bucket_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    """Run one server for the whole session; tests use `bucket_server`.

    A conftest that wants them imports both names.
    """
    with running_bucket(tmp_path_factory.mktemp("buckets")) as server:
        yield server


@pytest.fixture
def bucket_server(bucket_process: BucketServer) -> Iterator[BucketServer]:
    """Return an empty bucket of this test's own, and the AWS variables that lead to it."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    (bucket_process.root / bucket).mkdir()
    with aws_environment(bucket_process.endpoint_url):
        yield BucketServer(bucket_process.endpoint_url, bucket, bucket_process.root)
