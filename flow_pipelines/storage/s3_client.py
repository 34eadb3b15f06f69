"""Makes the boto3 client that the image store works with."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from flow_pipelines.redaction import RedactedLog

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.session import Session as BotocoreSession
    from mypy_boto3_s3 import S3Client

# They log every header of a request, a session's token among them, when asked for every detail;
# errors of a connection, which are logged before they are repeated, quote the endpoint's URL.
for _name in ("botocore.auth", "botocore.endpoint", "flow_pipelines.retries"):
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
    What `AWS_CONFIG_FILE` and boto3's variables say goes before our defaults, at every endpoint,
    but for retries: the client sends every request once, and `S3ImageStore` repeats, within its
    budget and on its clock.

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
        core = _core()
        theirs = core.get_config_variable("s3") or {}
        session = Session(region_name=region, botocore_session=core)
        # A signed payload gives the same protection everywhere: the store checks its SHA-256.
        ours: dict[str, Any] = {"payload_signing_enabled": True, "addressing_style": "auto"}
        config = _config(ours, theirs, limits)
        client = session.client("s3", endpoint_url=endpoint_url, config=config)
        if not _is_amazon(client.meta.endpoint_url) and "addressing_style" not in theirs:
            # Only Amazon promises that every bucket is a host name of its own.
            config = _config({**ours, "addressing_style": "path"}, theirs, limits)
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
        """Return what the client has. Raises: what `make` raises, at every try anew."""
        with self._lock:
            if self._client is None:
                self._client = self._make()
        return getattr(self._client, name)


def _core() -> BotocoreSession:
    """Make a session whose defaults are ours where environment and file say nothing."""
    from botocore.configprovider import ConstantProvider
    from botocore.session import Session

    core = Session()
    settings = core.get_component("config_store")
    # boto3's newer default checksums are unknown to many S3-compatible stores; what is written
    # carries its MD5 (`s3_upload`), which all of them know.
    for name in ("request_checksum_calculation", "response_checksum_validation"):
        chain = settings.get_config_provider(name)
        chain.set_default_provider(ConstantProvider("when_required"))
    return core


def _config(ours: Mapping[str, Any], theirs: Mapping[str, Any], more: dict[str, Any]) -> Config:
    from botocore.config import Config

    return Config(
        s3=cast("Any", {name: ours[name] for name in ours if name not in theirs}),
        retries={"mode": "standard", "total_max_attempts": 1},
        user_agent_extra="flow-pipelines",
        **more,
    )


def _is_amazon(endpoint_url: str) -> bool:
    host = urlsplit(endpoint_url).hostname or ""
    return any(host == name or host.endswith("." + name) for name in _AMAZON)
