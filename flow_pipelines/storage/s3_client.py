"""Makes the boto3 client that the image store works with."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

from flow_pipelines.redaction import RedactedLog

if TYPE_CHECKING:
    from botocore.config import Config
    from mypy_boto3_s3 import S3Client

# They log every header of a request, a session's token among them, when asked for every detail.
for _name in ("botocore.auth", "botocore.endpoint"):
    logging.getLogger(_name).addFilter(RedactedLog())

_AMAZON = ("amazonaws.com", "amazonaws.com.cn")


def make_client(
    endpoint_url: str | None = None,
    region: str | None = None,
    *,
    connect_seconds: float = 5.0,
    read_seconds: float = 60.0,
    max_connections: int = 24,
) -> S3Client:
    """Make an S3 client that never waits without bound and works with S3-compatible stores.

    What is None is boto3's to find: `AWS_ENDPOINT_URL_S3`, the region, and always the credentials.
    The client sends every request once: `S3ImageStore` repeats, within its budget and on its clock.

    Raises: ConfigurationError, when boto3 cannot use what it finds (an unknown profile, say).
    """
    from boto3.session import Session
    from botocore.exceptions import BotoCoreError

    from flow_pipelines.storage.s3_errors import explain

    limits = {
        "connect_timeout": connect_seconds,
        "read_timeout": read_seconds,
        "max_pool_connections": max_connections,
    }
    try:
        session = Session(region_name=region)
        client = session.client("s3", endpoint_url=endpoint_url, config=_config("auto", limits))
        if not _is_amazon(client.meta.endpoint_url):
            # Only Amazon promises that every bucket is a host name of its own.
            config = _config("path", limits)
            client = session.client("s3", endpoint_url=endpoint_url, config=config)
    except (BotoCoreError, ValueError) as error:
        raise explain(error, doing="set up the S3 client", bucket="", key="") from error
    return client


class LateClient:
    """An S3 client that is made when it is first used.

    Making one reads megabytes of boto3's descriptions of services, and most ticks of a sensor
    never look at the bucket. Safe to share between threads.
    """

    def __init__(self, make: Callable[[], S3Client]) -> None:
        """Make nothing yet."""
        self._make, self._lock = make, threading.Lock()
        self._client: S3Client | None = None

    def __getattr__(self, name: str) -> Any:
        """Give what the client has. Raises: what `make` raises, at every try anew."""
        with self._lock:
            if self._client is None:
                self._client = self._make()
        return getattr(self._client, name)


def _config(addressing: Literal["auto", "path"], more: dict[str, Any]) -> Config:
    from botocore.config import Config

    return Config(
        # boto3's newer default checksums are unknown to many S3-compatible stores. A signed
        # payload gives the same protection everywhere: the store checks its SHA-256.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": addressing, "payload_signing_enabled": True},
        retries={"mode": "standard", "total_max_attempts": 1},
        user_agent_extra="flow-pipelines",
        **more,
    )


def _is_amazon(endpoint_url: str) -> bool:
    host = urlsplit(endpoint_url).hostname or ""
    return any(host == name or host.endswith("." + name) for name in _AMAZON)
