"""The commands of people who look after nights, on a real ledger in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flow_pipelines.cli import main
from flow_pipelines.clock import SystemClock
from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.model import (
    CostBasis,
    Night,
    NightPlan,
    OutputRef,
    PlannedRow,
    PromptRow,
    Receipt,
    RunReport,
    SubmissionState,
)
from flow_pipelines_tests.buckets import BucketServer, running_bucket
from flow_pipelines_tests.fakes import ManualClock

NIGHT = Night("posters", "2026-11-21")
KEYS = ("key-of-harbour", "key-of-desert")


@dataclass
class Desk:
    """A person with a terminal, and the ledger that the terminal works on."""

    ledger: RunLedger
    clock: ManualClock

    def type(self, *words: str) -> Result:
        return CliRunner().invoke(main, words)

    def send(self, key: str) -> None:
        self.ledger.acquire_lease(f"submit:{NIGHT}", "run-1", 60)
        self.ledger.begin_submission(
            key,
            lease=f"submit:{NIGHT}",
            owner="run-1",
            resource="floyo",
            body_sha256="",
            estimate_usd=Decimal("0.02"),
            budget_usd=None,
            daily_budget_usd=None,
        )

    def state(self, key: str) -> str:
        return self.ledger.submission(key).state.value


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    url = f"sqlite:///{tmp_path / 'ledger.sqlite'}"
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", url)
    # An hour ago by the clock of the commands: no request of these tests is under way any more.
    clock = ManualClock(SystemClock().now() - timedelta(hours=1))
    ledger = open_ledger(url, clock)
    rows = [prompt_row(number) for number in range(len(KEYS))]
    ledger.plan(night_plan(), rows, [planned_row(row) for row in rows])
    return Desk(ledger, clock)


def night_plan() -> NightPlan:
    return NightPlan(
        night=NIGHT,
        provider="floyo",
        resource="floyo",
        workflow="posters.json",
        workflow_version="w1",
        run_timeout_seconds=3600,
    )


def prompt_row(number: int) -> PromptRow:
    return PromptRow(
        prompt_id=f"p{number}",
        row_number=number,
        prompt="a harbour [at night]",
        seed=None,
        values={"prompt": "a harbour [at night]"},
        content_hash=f"content-{number}",
    )


def planned_row(row: PromptRow) -> PlannedRow:
    return PlannedRow(
        submission_key=KEYS[row.row_number],
        prompt_id=row.prompt_id,
        row_number=row.row_number,
        copy=0,
        generation=0,
        prompt=row.prompt,
        seed=None,
        parameters={"6::text": row.prompt},
        content_hash=row.content_hash,
        request_hash=f"request-{row.row_number}",
    )


def test_runs_lists_every_submission(desk: Desk) -> None:
    shown = desk.type("runs")
    assert shown.exit_code == 0
    assert all(key[:8] in shown.output for key in KEYS)
    assert max(len(line) for line in shown.output.splitlines()) <= 80


def test_a_row_of_runs_is_a_line_even_where_the_provider_talks_much(desk: Desk) -> None:
    desk.send(KEYS[0])
    desk.ledger.park_submission(KEYS[0], "the answer was [lost]\n" + "and lost again " * 9)

    shown = desk.type("runs").output.splitlines()
    row, *_ = [line for line in shown if line.startswith(str(NIGHT)) and "unresolved" in line]
    assert row.split() == [str(NIGHT), "p0.0", "unresolved", "–", KEYS[0][:8]]
    assert max(len(line) for line in shown) <= 80
    assert "answer was [lost] and lost again" in " ".join(shown)

    wide = desk.type("runs", "--wide").output.splitlines()
    (line,) = [line for line in wide if KEYS[0] in line]
    assert line.rstrip().endswith("and lost again")


def test_a_submission_is_found_by_the_beginning_that_is_shown(desk: Desk) -> None:
    desk.send(KEYS[0])
    desk.ledger.park_submission(KEYS[0], "answer lost")

    unclear = desk.type("resolve", "key-of-", "--not-created", "--why", "not there")
    assert unclear.exit_code == 1
    assert "2 submissions begin with key-of-" in unclear.output
    assert desk.state(KEYS[0]) == SubmissionState.UNRESOLVED

    assert desk.type("resolve", KEYS[0][:8], "--not-created", "--why", "so").exit_code == 0
    assert desk.state(KEYS[0]) == SubmissionState.PLANNED


def test_runs_shows_only_what_was_asked_for(desk: Desk) -> None:
    desk.send(KEYS[0])
    found = json.loads(desk.type("runs", "--state", "submitting", "--json").output)
    assert [one["submission_key"] for one in found] == [KEYS[0]]
    assert len(json.loads(desk.type("runs", "--limit", "1", "--json").output)) == 1
    assert json.loads(desk.type("runs", "--batch", "others", "--json").output) == []


@pytest.mark.case(
    "`flow-pipelines runs --json` ended after 50 rows without a word",
    "JSON is complete and streamed; a table says how many rows it leaves out",
)
def test_runs_leaves_nothing_out_in_silence(desk: Desk) -> None:
    rows = [prompt_row(number) for number in range(1203)]
    keys = [f"many-{row.row_number:04d}" for row in rows]
    planned = [
        replace(
            planned_row(replace(row, row_number=0)), submission_key=key, row_number=row.row_number
        )
        for row, key in zip(rows, keys, strict=True)
    ]
    many = replace(night_plan(), night=Night("many", "2026-11-22"))
    desk.ledger.plan(many, rows, planned)

    found = json.loads(desk.type("runs", "--json").output)
    assert [one["submission_key"] for one in found] == [*keys, *KEYS]
    assert len(json.loads(desk.type("runs", "--json", "--limit", "700").output)) == 700
    table = desk.type("runs").output
    assert "1155 more left out" in table
    assert table.count("many/2026-11-22") == 50
    assert "left out" not in desk.type("runs", "--limit", "2000").output
    assert "1 more left out" in desk.type("runs", "--batch", "posters", "--limit", "1").output


@pytest.mark.case(
    "`flow-pipelines runs` said `not stored` of an output, and never why",
    "the reason stands below the table, in --wide, and in JSON by the output's index",
)
def test_runs_tells_why_an_output_is_not_stored(desk: Desk) -> None:
    key = KEYS[0]
    desk.send(key)
    soon = desk.clock.now() + timedelta(seconds=10)
    desk.ledger.record_receipt(key, Receipt(provider_run_id="run-1"), soon)
    report = RunReport(
        provider_run_id="run-1",
        state=SubmissionState.SUCCEEDED,
        provider_status="completed",
        outputs=(OutputRef(output_id="a"), OutputRef(output_id="b")),
    )
    desk.ledger.record_poll(
        key, report, next_poll_at=None, cost_usd=None, cost_basis=CostBasis.UNKNOWN
    )
    desk.ledger.record_output_problem(key, 1, "the download ended\nafter 7 bytes")

    shown = desk.type("runs").output
    assert "not stored" in shown
    assert f"{key[:8]} the download ended after 7 bytes" in shown
    assert "the download ended after 7 bytes" in desk.type("runs", "--wide").output
    found = json.loads(desk.type("runs", "--json").output)
    told = {one["submission_key"]: one["not_stored"] for one in found}
    assert told == {key: {"1": "the download ended\nafter 7 bytes"}, KEYS[1]: {}}


def test_runs_as_json_keeps_money_exact_and_names_the_night(desk: Desk) -> None:
    desk.send(KEYS[0])
    (found,) = json.loads(desk.type("runs", "--state", "submitting", "--json").output)
    assert Decimal(found["reserved_usd"]) == Decimal("0.02")
    assert isinstance(found["reserved_usd"], str)
    assert (found["batch"], found["partition_key"]) == NIGHT
    assert datetime.fromisoformat(found["planned_at"]) == desk.clock.now()


def test_an_attached_run_is_polled(desk: Desk) -> None:
    desk.send(KEYS[0])
    desk.ledger.park_submission(KEYS[0], "answer lost")

    said = desk.type("resolve", KEYS[0], "--attach", "run_42", "--unchecked", "--why", "so")

    assert said.exit_code == 0
    assert desk.state(KEYS[0]) == SubmissionState.SUBMITTED
    assert desk.ledger.submission(KEYS[0]).provider_run_id == "run_42"


def test_a_submission_that_was_not_created_is_planned_again(desk: Desk) -> None:
    desk.send(KEYS[0])
    desk.ledger.park_submission(KEYS[0], "answer lost")

    said = desk.type("resolve", KEYS[0], "--not-created", "--why", "not in the account")

    assert said.exit_code == 0
    assert desk.state(KEYS[0]) == SubmissionState.PLANNED


def test_a_submission_of_a_moment_ago_is_not_planned_again(desk: Desk) -> None:
    desk.clock.advance(3600)
    desk.send(KEYS[0])
    desk.ledger.park_submission(KEYS[0], "answer lost")

    said = desk.type("resolve", KEYS[0], "--not-created", "--why", "not in the account")

    assert said.exit_code == 1
    assert "its request may still be under way: say that it was not created after" in said.output
    assert "Traceback" not in said.output
    assert desk.state(KEYS[0]) == SubmissionState.UNRESOLVED


def test_a_receipt_is_not_settled_by_hand(desk: Desk) -> None:
    desk.send(KEYS[0])
    desk.ledger.record_receipt(KEYS[0], Receipt(provider_run_id="run_1"), desk.clock.now())

    said = desk.type("resolve", KEYS[0], "--not-created", "--why", "I think so")

    assert said.exit_code == 1
    assert said.output.startswith("Error: ")
    assert "Traceback" not in said.output
    assert desk.state(KEYS[0]) == SubmissionState.SUBMITTED


@pytest.mark.parametrize(
    "words",
    [
        ("--attach", "run_1", "--not-created"),
        ("--detach", "--not-created"),
        ("--not-created", "--unchecked"),
    ],
)
def test_resolving_takes_one_answer(desk: Desk, words: tuple[str, ...]) -> None:
    said = desk.type("resolve", KEYS[0], *words, "--why", "because")
    assert said.exit_code == 2
    assert "Give one of --attach, --not-created, --detach, --settle-second." in said.output


@pytest.mark.parametrize("words", [("--not-created",), ("--detach",), ("--attach", "run_1")])
def test_no_answer_is_taken_without_a_reason(desk: Desk, words: tuple[str, ...]) -> None:
    said = desk.type("resolve", KEYS[0], *words)
    assert said.exit_code == 2
    assert "--why" in said.output


def test_an_unknown_submission_is_said_plainly(desk: Desk) -> None:
    said = desk.type("resolve", "nonsense", "--not-created", "--why", "because")
    assert said.exit_code == 1
    assert "nonsense" in said.output


def test_pause_stops_submitting_until_resume(desk: Desk) -> None:
    assert desk.type("pause", "--why", "wrong prompts").exit_code == 0
    pause = desk.ledger.paused()
    assert pause is not None
    assert pause.why == "wrong prompts"

    assert "wrong prompts" in desk.type("resume").output
    assert desk.ledger.paused() is None
    assert desk.type("resume").output == "Was not paused.\n"


def test_commands_do_not_invent_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mistyped.sqlite"
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", f"sqlite:///{file}")
    said = CliRunner().invoke(main, ["runs"])
    assert said.exit_code == 1
    assert f"There is no ledger at {file}" in said.output
    assert not file.exists()


def test_without_any_setting_the_variable_is_named() -> None:
    said = CliRunner().invoke(main, ["runs"])
    assert said.exit_code == 1
    assert "FLOW_PIPELINES_LEDGER_URL" in said.output


def test_upgrade_creates_a_ledger_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    first = CliRunner().invoke(main, ["ledger", "upgrade"])
    assert first.exit_code == 0
    assert CliRunner().invoke(main, ["ledger", "upgrade"]).output == first.output
    assert CliRunner().invoke(main, ["runs"]).exit_code == 0


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BucketServer]:
    with running_bucket(tmp_path_factory.mktemp("buckets")) as server:
        yield server


@pytest.fixture
def foreign_batch(desk: Desk, bucket: BucketServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert desk.ledger.ledger_id
    monkeypatch.setenv("FLOW_PIPELINES_BUCKET", bucket.bucket)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", bucket.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-test-access-key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-test-secret-key")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    owner = bucket.root / bucket.bucket / "flow" / "posters" / "_ledger.json"
    owner.parent.mkdir(parents=True, exist_ok=True)
    owner.write_text('{"ledger_id": "another-ledger"}', encoding="utf-8")
    return owner


def test_a_batch_changes_hands_only_when_a_person_is_sure(desk: Desk, foreign_batch: Path) -> None:
    asked = desk.type("ledger", "adopt", "posters")
    assert asked.exit_code == 1
    assert "another-ledger" in asked.output
    assert "another-ledger" in foreign_batch.read_text()

    adopted = desk.type("ledger", "adopt", "posters", "--yes")
    assert adopted.exit_code == 0
    assert json.loads(foreign_batch.read_text()) == {"ledger_id": desk.ledger.ledger_id}
    assert "already" in desk.type("ledger", "adopt", "posters").output


def test_restore_compares_every_batch_that_the_ledger_owns(desk: Desk, foreign_batch: Path) -> None:
    assert desk.type("ledger", "restore").output == ""
    refused = desk.type("ledger", "restore", "posters")
    assert refused.exit_code == 1
    assert "another-" in refused.output
    foreign_batch.write_text(json.dumps({"ledger_id": desk.ledger.ledger_id}), encoding="utf-8")
    told = desk.type("ledger", "restore").output
    assert "posters: 0 journal(s) compared, 0 knew more than the ledger." in told


def test_a_code_location_adopts_a_batch_of_another(desk: Desk) -> None:
    desk.ledger.claim_batch("posters", "old_name")
    adopted = desk.type("ledger", "adopt", "posters", "--location", "new_name")
    assert adopted.exit_code == 0
    assert "new_name" in adopted.output
    assert "old_name" in adopted.output
    assert desk.ledger.batch_locations(["posters"]) == {"posters": "new_name"}
