"""`flow-pipelines doctor`, on a machine where one thing at a time is wrong."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._daemon.types import DaemonHeartbeat

from flow_pipelines.cli.doctor import check_all
from flow_pipelines.cli.findings import Finding
from flow_pipelines.cli.home import Home
from flow_pipelines.cli.location import Accounts
from flow_pipelines.clock import SystemClock
from flow_pipelines.providers import profile, provider_names
from flow_pipelines_tests.fakes import ManualClock
from flow_pipelines_tests.unit.cli.conftest import NIGHT, Machine

EVERYTHING = {
    *provider_names(),
    *(
        "bucket",
        "clock",
        "polling",
        "journal",
        "ledger",
        "submitting",
        "dagster",
        "queue",
        "daemon",
    ),
}


@pytest.fixture(scope="module")
def dagster_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Dagster's folder: making its databases takes seconds."""
    home = Home(tmp_path_factory.mktemp("demo"))
    home.prepare()
    return home.dagster


@pytest.fixture
def home(dagster_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Dagster whose daemon is alive."""
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    beat(age_seconds=1)
    return dagster_home


def beat(age_seconds: float) -> None:
    """Let every part of the daemon be heard of."""
    at = SystemClock().now().timestamp() - age_seconds
    with dg.DagsterInstance.get() as instance:
        for part in instance.get_required_daemon_types():
            instance.add_daemon_heartbeat(DaemonHeartbeat(at, part, "one", []))


def examine(machine: Machine, *words: str) -> tuple[Mapping[str, Mapping[str, Any]], int]:
    result = machine.type("doctor", "--json", *words)
    report = json.loads(result.stdout)
    assert report["healthy"] is (result.exit_code == 0)
    return {one["check"]: one for one in report["checks"]}, result.exit_code


def marks(found: Mapping[str, Mapping[str, Any]], mark: str) -> set[str]:
    return {check for check, one in found.items() if one["mark"] == mark}


def test_where_all_is_well_every_line_is_green_and_nothing_is_bought(
    machine: Machine, home: Path
) -> None:
    found, code = examine(machine)
    assert marks(found, "green") == EVERYTHING == set(found)
    assert code == 0
    assert all(meter.runs_billed == 0 for meter in machine.control.state().values())


def test_people_get_a_line_for_each_check(machine: Machine, home: Path) -> None:
    shown = machine.type("doctor")
    assert shown.exit_code == 0
    begun = [line.split()[1] for line in shown.output.splitlines() if line.startswith("✓")]
    assert set(begun) == EVERYTHING
    assert max(len(line) for line in shown.output.splitlines()) <= 80


def test_the_check_leaves_nothing_in_the_bucket(
    machine: Machine, home: Path, sandbox_server: Any
) -> None:
    examine(machine)
    bucket = sandbox_server.bucket
    left = bucket.folder / bucket.name / machine.folder.name
    assert [path for path in left.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", provider_names())
def test_a_key_that_does_not_work_is_red_and_is_not_repeated(
    machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    variable = profile(name).key_variable
    monkeypatch.setenv(variable, "a-key-that-was-revoked")

    found, code = examine(machine)

    assert marks(found, "red") == {name}
    assert code == 1
    assert variable in found[name]["do"]
    assert "revoked" not in json.dumps(found)


@pytest.mark.parametrize("name", provider_names())
def test_a_provider_without_a_key_is_not_set_up_and_not_asked(
    machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(profile(name).key_variable)
    found, code = examine(machine)
    assert marks(found, "not set up") == {name}
    assert code == 0
    assert name not in {record.provider for record in machine.control.requests()}


def test_a_machine_without_any_provider_is_told_so(
    machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in provider_names():
        monkeypatch.delenv(profile(name).key_variable)
    found, code = examine(machine)
    assert marks(found, "yellow") == {"accounts"}
    assert code == 0


def test_an_address_that_leads_elsewhere_is_named(
    machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOYO_BASE_URL", machine.control_url)
    found, code = examine(machine)
    assert (marks(found, "red"), code) == ({"floyo"}, 1)
    assert f"Is FLOYO_BASE_URL (now {machine.control_url}) right?" in found["floyo"]["do"]


def test_what_a_key_cannot_show_is_said(machine: Machine, home: Path) -> None:
    found, _ = examine(machine)
    assert "only an execution shows" in found["floimg"]["says"]


def test_a_second_account_is_checked_where_a_module_has_one(machine: Machine, home: Path) -> None:
    found, code = examine(machine, "--module", machine.definitions)
    assert marks(found, "green") == EVERYTHING | {"floyo_studio"}
    assert code == 0


@pytest.mark.parametrize(("seconds", "mark"), [(20, "green"), (90, "yellow"), (-90, "yellow")])
def test_a_clock_that_is_wrong_is_noticed(
    machine: Machine, home: Path, seconds: int, mark: str
) -> None:
    ours = ManualClock(SystemClock().now() + timedelta(seconds=seconds))
    found = {one.check: one for one in check_all(Accounts(), ours)}
    assert isinstance(found["clock"], Finding)
    assert found["clock"].mark == mark
    assert ("ahead of" in found["clock"].says) is (seconds == 90)
    assert ("behind" in found["clock"].says) is (seconds == -90)


def test_a_bucket_that_is_not_there_is_red(
    machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLOW_PIPELINES_BUCKET", "no-such-bucket")
    found, code = examine(machine)
    assert (marks(found, "red"), code) == ({"bucket"}, 1)
    assert "FLOW_PIPELINES_BUCKET" in found["bucket"]["do"]


@pytest.mark.case(
    "a ledger five rows behind the journal was green in doctor",
    "red, with the night, the number of rows and the command; nothing is changed",
)
def test_a_ledger_that_the_journal_is_ahead_of_is_red(machine: Machine, home: Path) -> None:
    machine.add_batch()
    machine.plan()
    machine.buy(2)
    with sqlite3.connect(machine.folder / "ledger.sqlite") as connection:
        connection.execute("UPDATE submissions SET intents = 0, state = 'planned'")

    for _ in range(2):
        found, code = examine(machine)
        assert (marks(found, "red"), code) == ({"journal"}, 1)
        assert f"{NIGHT}: it names 2 submission(s)" in found["journal"]["says"]
        assert "ledger restore" in found["journal"]["do"]


@pytest.mark.case(
    "doctor was silent about a batch that was renamed, with 24 pictures not stored",
    "yellow, with what is left to be done and the command that stores it",
)
def test_a_night_of_a_batch_that_is_gone_is_named(machine: Machine, home: Path) -> None:
    folder = machine.add_batch()
    machine.buy(2)
    known, _ = examine(machine, "--module", machine.definitions)
    folder.rename(folder.with_name("other"))
    file = folder.with_name("other") / "defs.yaml"
    file.write_text(file.read_text().replace(f"name: {NIGHT.batch}", "name: other"))
    machine.forget_module()
    found, code = examine(machine, "--module", machine.definitions)

    assert "batches" not in known
    assert (marks(found, "yellow"), code) == ({"batches"}, 0)
    assert "2 in flight" in found["batches"]["says"]
    assert f"flow-pipelines collect {NIGHT.batch} --module" in found["batches"]["says"]


def test_a_pause_and_what_waits_for_a_person_are_yellow(machine: Machine, home: Path) -> None:
    machine.add_batch()
    machine.plan()
    first, *_ = machine.ledger.submissions(NIGHT)
    machine.ledger.acquire_lease(f"submit:{NIGHT}", "run-1", 60)
    machine.ledger.begin_submission(
        first.submission_key,
        lease=f"submit:{NIGHT}",
        owner="run-1",
        resource="floyo",
        body_sha256="",
        estimate_usd=Decimal(0),
        budget_usd=None,
        daily_budget_usd=None,
    )
    machine.ledger.park_submission(first.submission_key, "answer lost")
    machine.ledger.pause("ada", "wrong prompts")

    found, code = examine(machine)

    assert marks(found, "yellow") == {"submitting", "submissions"}
    assert "ada" in found["submitting"]["says"]
    assert "wrong prompts" in found["submitting"]["says"]
    assert code == 0


def test_a_second_run_is_red_until_a_person_has_looked(machine: Machine, home: Path) -> None:
    machine.add_batch()
    machine.buy(limit=1)
    first, *_ = machine.ledger.submissions(NIGHT)
    machine.ledger.note_second_run(first.submission_key, "run_two")

    found, code = examine(machine)

    assert (marks(found, "red"), code) == ({"second runs"}, 1)
    assert first.submission_key in found["second runs"]["says"]
    machine.ledger.settle_second_run(first.submission_key, "run_two", who="ann", why="refunded")
    assert marks(examine(machine)[0], "red") == set()


def test_a_ledger_that_is_not_there_yet_is_not_made(
    machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = machine.folder / "later.sqlite"
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", f"sqlite:///{file}")
    found, code = examine(machine)
    assert (marks(found, "yellow"), code) == ({"ledger"}, 0)
    assert not file.exists()


@pytest.mark.parametrize(("revision", "mark"), [("0000", "red"), (None, "yellow")])
def test_a_ledger_of_another_schema_is_left_as_it_is(
    machine: Machine,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    revision: str | None,
    mark: str,
) -> None:
    file = machine.folder / "other.sqlite"
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", f"sqlite:///{file}")
    with sqlite3.connect(file) as database:
        database.execute("CREATE TABLE alembic_version (version_num TEXT)")
        if revision:
            database.execute("INSERT INTO alembic_version VALUES (?)", [revision])
    before = file.read_bytes()

    found, code = examine(machine)

    assert marks(found, mark) == {"ledger"}
    assert code == (1 if mark == "red" else 0)
    assert file.read_bytes() == before


def test_without_a_lasting_home_dagster_is_red(
    machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DAGSTER_HOME")
    found, code = examine(machine)
    assert (marks(found, "red"), code) == ({"dagster"}, 1)


def test_a_home_that_is_no_folder_is_red(
    machine: Machine, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(home / "mistyped"))
    found, code = examine(machine)
    assert (marks(found, "red"), code) == ({"dagster"}, 1)


def test_a_daemon_that_fell_silent_is_red(machine: Machine, home: Path) -> None:
    beat(age_seconds=3600)
    found, code = examine(machine)
    assert (marks(found, "red"), code) == ({"daemon"}, 1)
    assert "dagster-daemon run" in found["daemon"]["do"]


def test_a_queue_that_a_backfill_or_the_dead_can_fill_is_yellow(
    machine: Machine, home: Path
) -> None:
    settings = home / "dagster.yaml"
    used = settings.read_text(encoding="utf-8")
    settings.write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    try:
        found, code = examine(machine)
    finally:
        settings.write_text(used, encoding="utf-8")
    assert (marks(found, "yellow"), code) == ({"queue"}, 0)
    assert "a backfill may take every place" in found["queue"]["says"]
    assert "a run whose host died" in found["queue"]["says"]
    assert "docs/DEPLOYING.md" in found["queue"]["do"]
