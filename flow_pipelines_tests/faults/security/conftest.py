from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flow_pipelines.ledger import open_ledger
from flow_pipelines.model import BatchSettings
from flow_pipelines.storage import S3ImageStore
from flow_pipelines_tests.buckets import BucketServer
from flow_pipelines_tests.dagster.conftest import (  # noqa: F401 - fixtures of this folder
    empty_environment,
    instance,
    ledger,
    project,
    sandbox_server,
    world,
)
from flow_pipelines_tests.databases import (  # noqa: F401 - fixtures of this folder
    postgres_server,
    postgres_url,
    sqlite_ledgers,
)
from flow_pipelines_tests.fake_provider import FakeProvider
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.lifecycle.conftest import NIGHT, LifecycleHarness


@pytest.fixture
def harness(
    tmp_path: Path,
    bucket_server: BucketServer,
    migrated_sqlite: Path,
) -> Iterator[LifecycleHarness]:
    """Return a night of a fake provider, in a ledger whose tables are there already."""
    clock = ManualClock()
    file = tmp_path / "ledger.db"
    shutil.copy(migrated_sqlite, file)
    settings = BatchSettings(
        name=NIGHT.batch,
        provider="floyo",
        resource="floyo",
        workflow="graph.json",
        base_dir=str(tmp_path),
        prompts="prompts.csv",
        parameters={"6::text": "{prompt}", "3::seed": "{seed}"},
        time_partitioned=True,
    )
    store = S3ImageStore(bucket_server.bucket, "flow", bucket_server.shared_client(), clock)
    harness = LifecycleHarness(
        tmp_path, open_ledger(f"sqlite:///{file}", clock), FakeProvider(), store, clock, settings
    )
    yield harness
    harness.ledger.close()  # type: ignore[attr-defined] - the real one
