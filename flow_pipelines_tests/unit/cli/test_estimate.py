"""`flow-pipelines estimate`, on a user's project beside the stand-ins."""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from click.testing import Result

from flow_pipelines.clock import SystemClock
from flow_pipelines.lifecycle import regenerate
from flow_pipelines.lifecycle.poll import record_report
from flow_pipelines.model import Night, RunReport, Submission, SubmissionState
from flow_pipelines_tests.unit.cli.conftest import NIGHT, ON_FLOIMG, Machine

EARLIER = Night(NIGHT.batch, "2025-11-20")


def ask(machine: Machine, *words: str, batch: str = NIGHT.batch) -> Result:
    partition = () if "--partition" in words else ("--partition", NIGHT.partition_key)
    return machine.type("estimate", batch, *partition, "-m", machine.definitions, *words)


def estimate(machine: Machine, *words: str, batch: str = NIGHT.batch) -> dict[str, Any]:
    result = ask(machine, "--json", *words, batch=batch)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def end(machine: Machine, submission: Submission, flotime_ms: int) -> None:
    """Let a provider run succeed."""
    report = RunReport(
        provider_run_id=submission.provider_run_id or "",
        state=SubmissionState.SUCCEEDED,
        provider_status="done",
        flotime_ms=flotime_ms,
    )
    record_report(machine.ports("floyo"), submission, report, 3600)


def buy_earlier_night(machine: Machine, *flotimes_ms: int) -> None:
    machine.buy(limit=len(flotimes_ms), night=EARLIER)
    bought = machine.ledger.submissions(EARLIER)[: len(flotimes_ms)]
    for submission, flotime_ms in zip(bought, flotimes_ms, strict=True):
        end(machine, submission, flotime_ms)


def test_a_night_is_estimated_without_planning_or_buying_anything(machine: Machine) -> None:
    machine.add_batch(NIGHT.batch, "price_usd_per_run: 0.02", "runs_per_prompt: 2")

    found = estimate(machine)

    assert (found["batch"], found["partition_key"]) == NIGHT
    assert (found["rows"], found["submissions"], found["to_send"]) == (3, 6, 6)
    assert found["requests"] == 12
    assert found["minutes"] == pytest.approx(12 / 100)  # 100 requests a minute
    assert (found["usd"], found["usd_basis"]) == ("0.12", "price")
    assert found["flotime_ms"] is None
    assert machine.ledger.night(NIGHT) is None
    assert machine.control.requests() == []


def test_people_get_it_in_80_columns(machine: Machine) -> None:
    machine.add_batch(NIGHT.batch, "price_usd_per_run: 0.025", "budget_usd: 0.06")
    shown = ask(machine)
    assert shown.exit_code == 0
    assert max(len(line) for line in shown.output.splitlines()) <= 80
    assert "enough for 2; 1 would be skipped" in " ".join(shown.output.split())
    assert "about $0.05 (2 × $0.025 a run)" in shown.output
    assert "unknown: no past run tells" in shown.output


def test_what_nobody_knows_is_said_to_be_unknown(machine: Machine) -> None:
    machine.add_batch()
    assert "unknown: the provider states no price" in ask(machine).output
    found = estimate(machine)
    assert (found["usd"], found["usd_basis"]) == (None, "unknown")


def test_past_runs_tell_the_flotime(machine: Machine) -> None:
    machine.add_batch(NIGHT.batch, "price_usd_per_run: 0.02")
    buy_earlier_night(machine, 1000, 9000, 2000)

    found = estimate(machine)

    assert (found["past_runs"], found["flotime_ms_per_run"]) == (3, 2000)
    assert found["flotime_ms"] == 6000


def test_past_runs_tell_the_cost_where_there_is_no_price(machine: Machine) -> None:
    folder = machine.add_batch(NIGHT.batch, "price_usd_per_run: 0.02")
    buy_earlier_night(machine, 1000, 2000)
    defs = folder / "defs.yaml"
    defs.write_text(defs.read_text().replace("price_usd_per_run: 0.02", ""))
    machine.forget_module()

    found = estimate(machine)

    assert found["usd_basis"] == "past runs"
    assert Decimal(found["usd"]) == Decimal("0.06")


def test_what_was_sent_is_not_counted_again(machine: Machine) -> None:
    machine.add_batch(NIGHT.batch, "price_usd_per_run: 0.02")
    machine.buy(limit=2)
    found = estimate(machine)
    assert (found["submissions"], found["to_send"], found["usd"]) == (3, 1, "0.02")
    assert "3, of which 1 are still to be sent" in ask(machine).output


def test_rows_that_were_only_planned_are_still_to_be_sent(machine: Machine) -> None:
    machine.add_batch()
    machine.plan()
    assert estimate(machine)["to_send"] == 3


def test_rows_that_were_regenerated_and_not_sent_yet_are_counted(machine: Machine) -> None:
    machine.add_batch()
    machine.buy(limit=2)
    settings, ports = machine.plan()
    done = regenerate(settings, NIGHT, ports, requested_by="run-2", scope="all")
    assert done.rows == 2
    before = machine.ledger.night(NIGHT)
    assert estimate(machine)["to_send"] == 3
    assert machine.ledger.night(NIGHT) == before


def test_money_that_is_spent_already_counts_against_the_budgets(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.add_batch(NIGHT.batch, "price_usd_per_run: 0.02", "budget_usd: 0.05")
    machine.buy(limit=1)
    monkeypatch.setenv("FLOW_PIPELINES_DAILY_BUDGET_USD", "0.02")

    found = estimate(machine)

    night, day = found["budgets"]
    assert (night["scope"], night["left_usd"], night["allows"]) == ("partition", "0.030000", 1)
    assert (day["scope"], day["allows"]) == ("day", 0)
    assert Decimal(day["left_usd"]) == 0
    assert (found["to_send"], found["within_budget"]) == (2, 0)


def test_a_budget_that_cannot_be_kept_would_buy_nothing(machine: Machine) -> None:
    machine.add_batch(NIGHT.batch, "budget_usd: 5")
    refused = ask(machine)
    assert refused.exit_code == 1
    assert "Nothing would be sent: there is a budget, but no price of a run" in refused.output


def test_every_problem_of_every_row_is_told(machine: Machine) -> None:
    folder = machine.add_batch()
    rows = "\n".join(f"same,row {number}" for number in range(30))
    (folder / "prompts.csv").write_text(f"prompt_id,prompt\n{rows}\n", encoding="utf-8")

    shown = ask(machine)
    assert shown.exit_code == 1
    lines = [line for line in shown.output.splitlines() if "prompts.csv:" in line]
    assert len(lines) == 29
    assert "… and" not in shown.output

    told = json.loads(ask(machine, "--json").stdout)
    assert len(told["problems"]) == 29
    assert {one["file"] for one in told["problems"]} == {"prompts.csv"}


def test_a_project_that_does_not_load_is_told_as_one_message(machine: Machine) -> None:
    machine.add_batch(parameters='{"text::txet": "{prompt}"}')
    shown = ask(machine)
    assert shown.exit_code == 1
    assert "txet" in shown.output
    assert "Traceback" not in shown.output


def test_a_workflow_at_the_provider_is_read_and_not_run(machine: Machine) -> None:
    machine.add_batch("labels", "price_usd_per_run: 0.015", **ON_FLOIMG)
    found = estimate(machine, batch="labels")
    assert found["usd"] == "0.045"
    assert {record.operation for record in machine.control.requests()} <= {
        "get_workflow",
        "list_workflows",
    }
    assert machine.control.state()["floimg"].runs_billed == 0


def test_without_a_partition_it_is_the_last_complete_one(machine: Machine) -> None:
    machine.add_batch()
    before = SystemClock().now()
    result = machine.type("estimate", NIGHT.batch, "--json", "-m", machine.definitions)
    yesterdays = [at - timedelta(days=1) for at in (before, SystemClock().now())]
    assert json.loads(result.stdout)["partition_key"] in [f"{at:%Y-%m-%d}" for at in yesterdays]


def test_a_night_to_come_can_be_estimated(machine: Machine) -> None:
    machine.add_batch()
    found = estimate(machine, "--partition", "2100-01-01")
    assert found["partition_key"] == "2100-01-01"


@pytest.mark.parametrize("key", ["2024-01-01", "tonight"])
def test_a_partition_that_there_is_not_is_refused(machine: Machine, key: str) -> None:
    machine.add_batch()
    said = ask(machine, "--partition", key)
    assert said.exit_code == 1
    assert f"has no partition {key!r}" in said.output


def test_the_batches_that_there_are_are_named(machine: Machine) -> None:
    machine.add_batch()
    said = ask(machine, batch="poster")
    assert said.exit_code == 1
    assert "known: posters" in said.output


def test_a_ledger_is_not_made_for_an_estimate(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = machine.folder / "later.sqlite"
    monkeypatch.setenv("FLOW_PIPELINES_LEDGER_URL", f"sqlite:///{file}")
    machine.add_batch()
    assert "There is no ledger here" in ask(machine).output
    assert not file.exists()
