"""Nights that no batch of the code location goes on with any more: polled, named, stored."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import dagster as dg
import pytest

from flow_pipelines import sensors
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import Round, serve_accounts, submit_lease
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.dagster.conftest import (
    BATCH,
    CLOCK,
    NIGHT,
    Project,
    World,
    materialize,
    tick,
)

GENERATION = ("harbor/prompts", "harbor/provider_runs")
HARBOR = Night("harbor", NIGHT)
ALLEY = BATCH.replace("harbor", "alley")
ON_COMFLOWY = """\
type: flow_pipelines.PromptBatchComponent
attributes:
  name: tower
  provider: comflowy
  workflow: wf_sandbox_sd15
  prompts: prompts.csv
  parameters: {"6::text": "{prompt}"}
  partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}
"""


def buy_harbor(project: Project, instance: dg.DagsterInstance) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
    CLOCK.advance(130)


def states(ledger: RunLedger) -> list[str]:
    return [one.state.value for one in ledger.submissions(HARBOR)]


@pytest.mark.case(
    "four runs bought, the batch renamed: no tick mentioned them again, a day later neither",
    "its provider's sensor polls them, names the batch and the command that stores it",
)
def test_runs_of_a_batch_that_was_renamed_are_polled_and_named(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    buy_harbor(project, instance)
    renamed = Project()
    renamed.add("alley", ALLEY)
    with renamed.load() as defs:
        said = tick(defs, instance).skip_message or ""
        later = tick(defs, instance).skip_message or ""

    assert set(states(ledger)) == {"succeeded"}
    assert "no batch 'harbor' is in this code location any more" in said
    assert "`flow-pipelines collect harbor --module MODULE`" in said
    assert "3 not stored" in later


@pytest.mark.case(
    "the last batch of a provider is gone, and its sensor with it: nobody polled its runs",
    "the sensors that are left poll them with the code location's resources",
)
def test_runs_at_a_provider_without_a_sensor_are_polled_by_the_others(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    buy_harbor(project, instance)
    other = Project()
    other.add("tower", ON_COMFLOWY)
    with other.load() as defs:
        said = tick(defs, instance, provider="comflowy").skip_message or ""

    assert set(states(ledger)) == {"succeeded"}
    assert "harbor" in said


def test_an_account_that_is_gone_is_named_in_every_tick(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    from flow_pipelines import FloyoResource

    project.add("harbor", BATCH.replace("workflow:", "resource: second\n  workflow:"))
    with project.load(second=FloyoResource()) as defs:
        assert materialize(defs, instance, *GENERATION).success
    CLOCK.advance(130)
    other = Project()
    other.add("alley", ALLEY)
    with other.load() as defs:
        said = [tick(defs, instance).skip_message or "" for _ in range(2)]

    for words in said:
        assert "3 run(s) at floyo wait for the account 'second'" in words
    assert set(states(ledger)) == {"submitted"}


def test_accounts_that_a_tick_had_no_time_for_come_first_in_the_next(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    ledger: RunLedger,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    buy_harbor(project, instance)
    first: list[Sequence[str]] = []

    def noting(*given: Any, **options: Any) -> Round:
        first.append(options["first"])
        return serve_accounts(*given, **options)

    monkeypatch.setattr(sensors, "serve_accounts", noting)
    with project.load() as defs, monkeypatch.context() as short:
        short.setattr(sensors, "BUDGET_SECONDS", sensors.RESERVE_SECONDS)
        cursor = tick(defs, instance).cursor
        assert set(states(ledger)) == {"submitted"}
        short.undo()
        cursor = tick(defs, instance, cursor).cursor

    assert first[1] == ["floyo"]
    assert json.loads(cursor or "")["left_out"] == []
    assert set(states(ledger)) == {"succeeded"}


def test_a_batch_whose_provider_was_changed_has_its_runs_polled_where_they_are(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    buy_harbor(project, instance)
    project.add("alley", ALLEY)
    project.add("harbor", ON_COMFLOWY.replace("tower", "harbor"))
    with project.load() as defs:
        said = json.loads(tick(defs, instance).cursor or "")["waiting"]
        asked_for = tick(defs, instance, provider="comflowy").run_requests or []

    assert set(states(ledger)) == {"succeeded"}
    assert "harbor: 3 run(s) at floyo, where it was bought before, are polled" in said
    assert [one.asset_selection[0].to_user_string() for one in asked_for] == ["harbor/images"]


@pytest.mark.case(
    "worker killed between intent and receipt, no daemon: the row stayed submitting for ever, "
    "and the check said that every outcome is known",
    "the next run of provider_runs or images settles it; the check fails while it is not known",
)
@pytest.mark.parametrize("again", ["provider_runs", "images"])
def test_what_a_killed_worker_was_sending_is_settled_by_the_next_run(
    project: Project,
    instance: dg.DagsterInstance,
    world: World,
    ledger: RunLedger,
    again: str,
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, "harbor/prompts").success
        first = ledger.submissions(HARBOR)[0]
        die_in_the_post(ledger, first.submission_key)
        early = materialize(defs, instance, "harbor/images")
        CLOCK.advance(46)
        materialize(defs, instance, f"harbor/{again}")
        late = materialize(defs, instance, "harbor/images")

    assert "being sent" in (check(early).description or "")
    assert not check(early).passed
    assert states(ledger)[0] == "unresolved"
    assert not check(late).passed
    assert world.bought() == (2 if again == "provider_runs" else 0)


def die_in_the_post(ledger: RunLedger, submission_key: str) -> None:
    """Leave what `kill -9` inside a POST leaves: an intent, a lease that runs out, no receipt."""
    ledger.mark_night(HARBOR)
    assert ledger.acquire_lease(submit_lease(HARBOR), "dead", 45)
    sent = ledger.begin_submission(
        submission_key,
        lease=submit_lease(HARBOR),
        owner="dead",
        resource="floyo",
        body_sha256="",
        estimate_usd=Decimal(0),
        budget_usd=None,
        daily_budget_usd=None,
    )
    assert sent.state is SubmissionState.SUBMITTING


def check(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    evaluations = result.get_asset_check_evaluations()
    return next(one for one in evaluations if one.check_name == "no_unresolved_runs")


@pytest.mark.case(
    "images materialized alone never polled: runs that ended long ago counted as not ended",
    "images polls what is due of its own night, for a minute at most, then collects it",
)
def test_images_alone_poll_what_is_due_and_store_it(
    project: Project, instance: dg.DagsterInstance, world: World, ledger: RunLedger
) -> None:
    project.add("harbor")
    with project.load() as defs:
        assert materialize(defs, instance, *GENERATION).success
        CLOCK.advance(130)
        assert materialize(defs, instance, "harbor/images").success

    assert states(ledger) == ["succeeded"] * 3
    assert len(world.images()) == 3
