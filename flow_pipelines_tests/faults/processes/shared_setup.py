"""Where workers meet: one ledger, one account at a stand-in, one bucket."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.session import Session
from botocore.config import Config

from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import Ports
from flow_pipelines.model import BatchSettings, Night
from flow_pipelines.provider import Provider, RateLimit, Transport
from flow_pipelines.providers import profile
from flow_pipelines.redaction import Secret
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.storage import S3ImageStore
from flow_pipelines.transport import HttpTransport, RetryBudget
from flow_pipelines_tests.conformance.providers.account import SAMPLES
from flow_pipelines_tests.faults.processes.host_clock import SCALE, HostClock

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

NIGHT = Night("posters", "2026-11-21")
PROVIDER = "floyo"
ROWS = 4
PICTURES = 2
"""Of each run."""
LEASE_SECONDS = 45.0
PLENTY = RateLimit(requests=6000, per_seconds=60.0)
"""Tests are about who works, not about how fast; `transport` has those on pacing."""

# One session for all: it reads S3's description once, and workers are forked after that.
_session = Session()


def s3_client(endpoint_url: str, key: str = "-", secret: str = "-") -> S3Client:
    """Make a client as `storage.s3_client` does for a bucket that is not Amazon's."""
    config = Config(
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        s3={"addressing_style": "path", "payload_signing_enabled": True},
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=16,
    )
    return _session.client(
        "s3",
        endpoint_url=endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )


@dataclass(frozen=True, kw_only=True)
class SharedSetup:
    """Everything that workers share. Holds no connection, so that it can be sent to a process."""

    ledger_url: str
    folder: Path
    """Of the batch's files; its name is the prefix in the bucket, too."""
    url: str
    environment: Mapping[str, str]
    buckets: Path
    began_at: datetime

    @property
    def control(self) -> ControlClient:
        return ControlClient(self.url)

    @property
    def settings(self) -> BatchSettings:
        case = json.loads((SAMPLES / PROVIDER / "conformance.json").read_text())
        return BatchSettings(
            name=NIGHT.batch,
            provider=PROVIDER,
            resource=PROVIDER,
            workflow=case["workflow"],
            base_dir=str(self.folder),
            prompts="prompts.csv",
            parameters={"6::text": "{prompt}", "3::seed": "{seed}", "5::batch_size": PICTURES},
            time_partitioned=True,
            price_usd_per_run=Decimal("0.01"),
        )

    def lay_out(self, rows: int = ROWS) -> None:
        """Write the batch's files."""
        self.folder.mkdir(exist_ok=True)
        for file in (SAMPLES / PROVIDER).iterdir():
            (self.folder / file.name).write_bytes(file.read_bytes())
        lines = [f"p{number},a {number}th city" for number in range(rows)]
        (self.folder / "prompts.csv").write_text("\n".join(["prompt_id,prompt", *lines]) + "\n")

    def objects(self) -> Path:
        """Return the folder of this batch's objects."""
        bucket = self.environment["FLOW_PIPELINES_BUCKET"]
        return self.buckets / bucket / self.folder.name / NIGHT.batch


@dataclass
class Host:
    """One process's, or one host's, own things at a setup."""

    setup: SharedSetup
    ahead_seconds: float = 0.0
    busy_seconds: float = 30.0
    wrap: Callable[[Transport], Transport] = lambda transport: transport
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock = HostClock(self.setup.began_at, self.ahead_seconds)
        self.ledger = open_ledger(self.setup.ledger_url, self.clock, busy_seconds=self.busy_seconds)
        bucket = self.setup.environment["FLOW_PIPELINES_BUCKET"]
        self.ports = Ports(
            ledger=LivingLeases(self.ledger),  # type: ignore[arg-type]  # stands in for it
            provider=self._connect(),
            resource=PROVIDER,
            store=S3ImageStore(bucket, self.setup.folder.name, self._s3(), self.clock),
            clock=self.clock,
            log=self.lines.append,
        )

    def _s3(self) -> S3Client:
        given = self.setup.environment
        return s3_client(
            given["AWS_ENDPOINT_URL_S3"],
            given["AWS_ACCESS_KEY_ID"],
            given["AWS_SECRET_ACCESS_KEY"],
        )

    def _connect(self) -> Provider:
        known, given = profile(PROVIDER), self.setup.environment
        urls = {word: given[name] for word, name in known.url_variables.items()}
        transport = HttpTransport(
            PROVIDER,
            origins=list(urls.values()),
            secret=Secret(given[known.key_variable]),
            clock=self.clock,
            pace=self.ledger.pace,
            pace_key=PROVIDER,
            rate_limit=PLENTY,
            retry=RetryBudget(attempts=3, total_seconds=60),
            jitter=lambda: 1.0,
        )
        return known.connect(self.wrap(transport), **urls)

    def close(self) -> None:
        self.ledger.close()


class LivingLeases:
    """A ledger whose leases end as they would in life: renewal goes by the real clock.

    The lifecycle of such a process counts its leases in real seconds, see `jobs`.
    """

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def acquire_lease(self, name: str, owner: str, ttl_seconds: float) -> bool:
        return bool(self._ledger.acquire_lease(name, owner, ttl_seconds * SCALE))
