from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest
from sqlalchemy import event

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.faults.alphabet.elsewhere import Elsewhere
from flow_pipelines_tests.faults.alphabet.harness import LeasedClock, Shared
from flow_pipelines_tests.faults.alphabet.story import RUN_SECONDS

pytest.register_assert_rewrite("flow_pipelines_tests.faults.alphabet.judging")

TUNING = Tuning(median_seconds=RUN_SECONDS, sigma=0.01, max_picture_side=64)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    clock = LeasedClock()
    settings = SandboxSettings(port=0, bucket_port=0, tuning=TUNING)
    folder = tmp_path_factory.mktemp("alphabet")
    file, prompts = folder / "ledger.db", folder / "prompts.csv"
    prompts.write_text("prompt_id,prompt\np0,a cat\n")
    with (
        closing(open_ledger(f"sqlite:///{file}", clock)) as ledger,
        Sandbox(settings, now=lambda: clock.now().timestamp()) as sandbox,
        Elsewhere(sandbox.world) as elsewhere,
    ):
        _stay_in_memory(ledger)
        yield Shared(sandbox, clock, ledger, file, prompts, elsewhere)


def _stay_in_memory(ledger: RunLedger) -> None:
    """Wait for no disk: that the ledger outlives its machine is proved elsewhere."""

    def relax(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")

    engine = ledger._database.engine
    event.listen(engine, "connect", relax)
    engine.dispose()
