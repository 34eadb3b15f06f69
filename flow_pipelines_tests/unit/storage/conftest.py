from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from flow_pipelines_tests.buckets import (
    BucketServer,
    aws_environment,
    bucket_process,
    bucket_server,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

__all__ = ["bucket_process", "bucket_server"]


@pytest.fixture(scope="module")
def client(bucket_process: BucketServer) -> Iterator[S3Client]:
    """Share a client: to make one takes a quarter of a second."""
    with aws_environment(bucket_process.endpoint_url):
        client = bucket_process.client()
    yield client
    client.close()
