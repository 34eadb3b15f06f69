"""A night to buy: a real ledger in a file, a real S3 server, a provider the test scripts."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.lifecycle import Ports, plan_night, submit_night
from flow_pipelines.lifecycle.ports import no_account
from flow_pipelines.lifecycle.sending import SubmitSummary
from flow_pipelines.model import BatchSettings, Night, SubmissionState
from flow_pipelines.storage import S3ImageStore
from flow_pipelines_tests.buckets import BucketServer
from flow_pipelines_tests.fake_provider import FakeProvider
from flow_pipelines_tests.fakes import ManualClock

NIGHT = Night("posters", "2026-11-21")


@dataclass
class LifecycleHarness:
    """Everything a test of the lifecycle touches."""

    folder: Path
    ledger: RunLedger
    provider: FakeProvider
    store: S3ImageStore
    clock: ManualClock
    settings: BatchSettings
    night: Night = NIGHT
    others: dict[str, FakeProvider] = field(default_factory=dict)
    """Further accounts, by resource key."""
    lines: list[str] = field(default_factory=list)

    @property
    def ports(self) -> Ports:
        return self.ports_of(self.settings.resource)

    def ports_of(self, resource: str) -> Ports:
        """Open an account: the one under the provider's name, or one of `others`."""
        provider = self.others.get(resource)
        if provider is None and resource != self.provider.name:
            return no_account(resource)
        return Ports(
            ledger=self.ledger,
            provider=provider or self.provider,
            resource=resource,
            others=self.ports_of,
            store=self.store,
            clock=self.clock,
            log=self.lines.append,
        )

    def write_prompts(self, *prompts: str) -> None:
        rows = [f"p{index},{prompt}" for index, prompt in enumerate(prompts)]
        (self.folder / "prompts.csv").write_text("\n".join(["prompt_id,prompt", *rows]) + "\n")

    def plan(self, *prompts: str) -> None:
        if prompts:
            self.write_prompts(*prompts)
        plan_night(self.settings, self.night.partition_key, self.ports)

    def submit(self, owner: str = "run-1", **options: object) -> SubmitSummary:
        return submit_night(self.settings, self.night, self.ports, owner=owner, **options)

    def states(self) -> list[str]:
        return [submission.state.value for submission in self.ledger.submissions(self.night)]

    def keys(self, state: SubmissionState) -> list[str]:
        found = self.ledger.submissions(self.night, states={state})
        return [submission.submission_key for submission in found]

    def with_settings(self, **changes: object) -> None:
        self.settings = replace(self.settings, **changes)


@pytest.fixture
def harness(
    tmp_path: Path, bucket_server: BucketServer, migrated_sqlite: Path
) -> Iterator[LifecycleHarness]:
    clock = ManualClock()
    file = shutil.copy(migrated_sqlite, tmp_path / "ledger.db")
    ledger = open_ledger(f"sqlite:///{file}", clock)
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
    yield LifecycleHarness(tmp_path, ledger, FakeProvider(), store, clock, settings)
    ledger.close()
