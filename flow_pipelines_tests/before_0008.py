"""A ledger, a bucket and the stand-ins' runs as the release before migration 0008 left them.

`samples/before_0008/README.md` says what is in them. The fixture `before_0008` lays them out as
they were left: the ledger is upgraded when `Before.open_ledger` opens it.
"""

from __future__ import annotations

import json
import sqlite3
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.lifecycle import Ports
from flow_pipelines.model import BatchSettings, Night
from flow_pipelines.sandbox import pictures
from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.flora_keys import First
from flow_pipelines.sandbox.flora_techniques import technique_of
from flow_pipelines.sandbox.life import Fate, Output, Run, RunOrder
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines.sandbox.wire import Answer
from flow_pipelines.storage import S3ImageStore
from flow_pipelines.storage.s3_client import make_client
from flow_pipelines_tests.buckets import aws_environment
from flow_pipelines_tests.fake_provider import png
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.faults.crash.harness import (
    connect,
    sample_parameters,
    sample_workflow,
    seal,
)

SAMPLES = Path(__file__).parent / "samples" / "before_0008"
BUCKET, PREFIX, LOCATION = "pictures", "flow", "flow_pipelines"
BATCHES = {"floyo": "posters", "floimg": "labels", "comflowy": "cards", "flora": "birds"}
"""Provider → batch; each has an unpartitioned `<batch>_single` beside it."""
WHOLE, AGAIN, DECIDED, BUDGET, HALF, UNCOLLECTED = (f"2026-11-{day}" for day in range(20, 26))
"""Partition keys of each batch; see README.md there."""
COLLECTED = (WHOLE, AGAIN, DECIDED, BUDGET)
_MORE: Mapping[str, Mapping[str, Any]] = {
    name: {"5::batch_size": 2, "3::seed": "{seed}"} for name in ("floyo", "comflowy")
}


@dataclass
class Before:
    """What was left, laid out; `ledger_url` may be opened by old and new code alike."""

    folder: Path
    sandbox: Sandbox
    clock: ManualClock
    lines: list[str] = field(default_factory=list)

    @property
    def ledger_file(self) -> Path:
        return self.folder / "ledger.db"

    @property
    def ledger_url(self) -> str:
        return f"sqlite:///{self.ledger_file}"

    @property
    def bucket_folder(self) -> Path:
        """Objects as files, the prefix's folder `flow` among them."""
        return self.folder / "buckets" / BUCKET

    @property
    def environment(self) -> Mapping[str, str]:
        """Variables that lead to the stand-ins; those of AWS are set already."""
        return self.sandbox.environment()

    @property
    def control(self) -> ControlClient:
        return ControlClient(self.sandbox.url)

    def open_ledger(self) -> RunLedger:
        """Open the ledger with the code of today, which upgrades it."""
        return open_ledger(self.ledger_url, self.clock)

    @cached_property
    def _s3(self) -> Any:
        return make_client()

    def store(self, bucket: str = BUCKET, prefix: str = PREFIX) -> S3ImageStore:
        return S3ImageStore(bucket, prefix, self._s3, self.clock)

    def settings(self, provider: str, *, single: bool = False) -> BatchSettings:
        """Return the batch's settings as they were."""
        settings = BatchSettings(
            name=BATCHES[provider],
            provider=provider,
            resource=provider,
            workflow=sample_workflow(provider),
            base_dir=str(self.folder / "batches" / provider),
            prompts="{partition_key}.csv",
            parameters=sample_parameters(provider, _MORE.get(provider, {})),
            time_partitioned=True,
            price_usd_per_run=Decimal("0.01"),
            budget_usd=Decimal("1.00"),
            daily_budget_usd=Decimal("5.00"),
            allow_identical=True,
        )
        if not single:
            return settings
        name = f"{settings.name}_single"
        return replace(settings, name=name, prompts="all.csv", time_partitioned=False)

    def ports(self, provider: str, ledger: RunLedger) -> Ports:
        """Connect a provider's account as a process does."""
        return Ports(
            ledger=ledger,
            provider=connect(provider, self.environment, self.clock, ledger.pace, lambda t: t),
            resource=provider,
            store=self.store(),
            clock=self.clock,
            log=self.lines.append,
            seal=seal(provider, self.environment),
        )


@pytest.fixture
def before_0008(tmp_path: Path) -> Iterator[Before]:
    """Lay a copy out in this test's folder, with the stand-ins running."""
    with laid_out(tmp_path / "before_0008") as before:
        yield before


@contextmanager
def laid_out(folder: Path) -> Iterator[Before]:
    """Lay a copy out in a folder that is made for it."""
    folder.mkdir()
    _lay_out_ledger(folder / "ledger.db")
    _lay_out_files(folder)
    known = json.loads((SAMPLES / "provider_runs.json").read_text(encoding="utf-8"))
    clock = ManualClock(datetime.fromisoformat(known["now"]))
    settings = SandboxSettings(
        port=0,
        bucket_port=0,
        bucket_folder=folder / "buckets",
        bucket=BUCKET,
        keys={name: (f"{name}-key-of-before-0008",) for name in BATCHES},
        tuning=Tuning(slots=2, max_picture_side=64),
    )
    sandbox = Sandbox(settings, now=lambda: clock.now().timestamp())
    with pytest.MonkeyPatch.context() as patch, sandbox:
        patch.setattr(pictures, "draw", _draw)
        _remember(sandbox, known)
        with aws_environment(sandbox.bucket.url):
            yield Before(folder, sandbox, clock)


def nights(provider: str) -> list[Night]:
    """Return every night of a provider that the ledger knows."""
    keys = (*COLLECTED, HALF, UNCOLLECTED)
    batch = BATCHES[provider]
    return [Night(batch, key) for key in keys] + [Night(f"{batch}_single", "all")]


def _lay_out_ledger(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.executescript((SAMPLES / "ledger.sql").read_text(encoding="utf-8"))


def _lay_out_files(folder: Path) -> None:
    tops = {"bucket": f"buckets/{BUCKET}", "metadata": f"buckets/.metadata/{BUCKET}"}
    with tarfile.open(SAMPLES / "files.tar.xz") as archive:
        for member in archive.getmembers():
            top, _, rest = member.name.partition("/")
            target = folder / tops.get(top, top) / rest
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archive.extractfile(member)
            assert content is not None, member.name
            target.write_bytes(content.read())


def _draw(picture: pictures.Picture, max_side: int = 0) -> bytes:
    """Draw as small as the stored ones are; the same picture has the same bytes."""
    told = (picture.prompt, picture.seed, picture.width, picture.height, picture.variant)
    return png("|".join(str(one) for one in told))


def _remember(sandbox: Sandbox, known: Mapping[str, Any]) -> None:
    """Let the stand-ins know the runs that they made, and bill each once."""
    life = sandbox.world.life
    for document in known["runs"]:
        run = _run(document)
        order = run.order
        life._runs[run.id] = run
        life._latest[order.provider, order.account, order.request_hash] = run
        life._outputs.update((output.id, run) for output in run.outputs)
        life._bill(run)
    (flora,) = (dialect for dialect in sandbox._dialects if dialect.name == "flora")
    for one in known["flora_keys"]:
        answer = {**one["answer"], "body": one["answer"]["body"].replace("URL", sandbox.url)}
        first = First(
            run_id=one["run_id"],
            fingerprint=one["fingerprint"],
            answer=Answer(**{**answer, "body": answer["body"].encode()}),
            at=one["at"],
        )
        flora._keys.remember(one["owner"], one["key"], first)  # type: ignore[attr-defined]  # FLORA's own


def _run(document: Mapping[str, Any]) -> Run:
    order = document["order"]
    outputs = tuple(
        Output(**{**one, "picture": pictures.Picture(**one["picture"])}) for one in order["outputs"]
    )
    notes = dict(order["notes"])
    if "technique" in notes:
        notes["technique"] = technique_of(notes["technique"])
    read = {
        **order,
        "outputs": outputs,
        "notes": notes,
        "price_usd": Decimal(order["price_usd"]),
        "fate": Fate(**order["fate"]),
    }
    made = [output for output in outputs if output.id in document["outputs"]]
    return Run(**{**document, "order": RunOrder(**read), "outputs": tuple(made)})
