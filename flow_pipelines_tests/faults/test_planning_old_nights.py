"""Nights of the release before, planned again: nothing is bought, and nothing turns stale."""

from __future__ import annotations

import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import agenda, plan_night, submit_night
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.before_0008 import BATCHES, HALF, LOCATION, Before, nights

PROVIDERS = tuple(BATCHES)


def plan_all(before: Before, ledger: RunLedger, provider: str) -> None:
    ports = before.ports(provider, ledger)
    for night in nights(provider):
        settings = before.settings(provider, single=night.partition_key == "all")
        plan_night(settings, night.partition_key, ports, location=LOCATION)


@pytest.mark.case(
    "`prompts` of all old nights is backfilled after an upgrade",
    "nothing is bought, by no sensor either, and no night turns stale",
    area="old ledger",
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_planning_all_old_nights_changes_and_buys_nothing(
    before_0008: Before, ledger: RunLedger, provider: str
) -> None:
    before = {night: ledger.night(night) for night in nights(provider)}
    rows = {night: ledger.submissions(night) for night in nights(provider)}
    billed = before_0008.control.state()[provider].runs_billed

    plan_all(before_0008, ledger, provider)

    assert {night: ledger.night(night) for night in before} == before
    assert {night: ledger.submissions(night) for night in before} == rows
    assert before_0008.control.state()[provider].runs_billed == billed


@pytest.mark.case(
    "the table has changed since, and `prompts` of all old nights is backfilled",
    "what was sent keeps its picture; what was not waits until a person asks, and no sensor buys",
    area="old ledger",
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_planning_old_nights_with_another_table_lets_no_sensor_buy(
    before_0008: Before, ledger: RunLedger, provider: str
) -> None:
    folder = before_0008.folder / "batches" / provider
    for table in folder.glob("*.csv"):
        head, *lines = table.read_text(encoding="utf-8").splitlines()
        changed = [line + " by night" if line.count(",") else line for line in lines]
        table.write_text("\n".join([head, *changed]) + "\n", encoding="utf-8")
    meter = before_0008.control.state()[provider].runs_billed
    sent = {
        one.submission_key: one.request_hash
        for night in nights(provider)
        for one in ledger.submissions(night)
        if one.state not in {SubmissionState.PLANNED, SubmissionState.FAILED}
    }

    plan_all(before_0008, ledger, provider)
    for _ in range(9):
        before_0008.clock.advance(6 * 3600)
        batches = {night.batch for night in nights(provider)}
        for todo in agenda(ledger, before_0008.clock, batches=batches).todos:
            assert todo.kind == "collect"
    half = Night(BATCHES[provider], HALF)
    ports = before_0008.ports(provider, ledger)
    settings = before_0008.settings(provider)
    submit_night(settings, half, ports, owner="a sensor's", asked_by=None)

    assert before_0008.control.state()[provider].runs_billed == meter
    for key, request_hash in sent.items():
        assert ledger.submission(key).request_hash == request_hash
    record = ledger.night(half)
    assert record is not None
    assert record.held == record.counts[SubmissionState.PLANNED] > 0


@pytest.mark.case(
    "`prompts` of sixty nights that were bought whole is backfilled, with another table",
    "nothing is planned or bought; rows that changed count as stale, as before",
    area="old ledger",
)
def test_sixty_old_nights_that_were_bought_whole_stay_bought(
    before_0008: Before, ledger: RunLedger
) -> None:
    settings, ports = before_0008.settings("floyo"), before_0008.ports("floyo", ledger)
    folder = before_0008.folder / "batches" / "floyo"
    keys = [f"2026-{month:02}-{day:02}" for month in (8, 9) for day in range(1, 31)]
    columns, row = (folder / f"{HALF}.csv").read_text(encoding="utf-8").splitlines()[:2]
    for key in keys:
        (folder / f"{key}.csv").write_text(f"{columns}\n{row}\n", encoding="utf-8")
        plan_night(settings, key, ports, location=LOCATION)
    with ledger._database.write() as connection:
        # As the release before left them: sent, and nothing known of who asked.
        connection.exec_driver_sql(
            "UPDATE submissions SET state='succeeded', submitting_at=1, submitted_at=1,"
            " provider_run_id='run of ' || submission_key, collected_at=1, intents=2"
            " WHERE partition_key < '2026-10'"
        )
        connection.exec_driver_sql(
            "UPDATE nights SET count_succeeded=count_planned, count_planned=0, frozen_at=1,"
            " marked_at=1 WHERE partition_key < '2026-10'"
        )
    for key in keys:
        text = f"{columns}\n{row} by night\n{row.replace('p0', 'new', 1)}\n"
        (folder / f"{key}.csv").write_text(text, encoding="utf-8")

    outcomes = [plan_night(settings, key, ports, location=LOCATION).outcome for key in keys]

    assert {outcome.planned for outcome in outcomes} == {0}
    assert {outcome.stale for outcome in outcomes} == {2}
    found = agenda(ledger, before_0008.clock, batches=[settings.name]).todos
    assert {todo.kind for todo in found if todo.night.partition_key in keys} <= {"collect"}
    for key in keys:
        [one] = ledger.submissions(Night(settings.name, key))
        assert one.state is SubmissionState.SUCCEEDED
