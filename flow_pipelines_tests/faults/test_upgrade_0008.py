"""A ledger and a bucket of the release before 0008: nothing moves, nothing is bought twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import (
    Ports,
    collect_night,
    plan_night,
    poll_due,
    recover,
    submit_night,
)
from flow_pipelines.model import IN_FLIGHT, BatchSettings, Night, SubmissionState
from flow_pipelines_tests.before_0008 import (
    BATCHES,
    COLLECTED,
    HALF,
    LOCATION,
    UNCOLLECTED,
    Before,
    nights,
)

PROVIDERS = tuple(BATCHES)
ROUNDS = 12
_COUNTS = ", ".join(f"count_{state}" for state in SubmissionState)
_KEPT = {
    "nights": f"batch, partition_key, stale, reserved_usd, revision, uncollected, {_COUNTS}",
    "submissions": "submission_key, state, stale, reserved_usd, provider_run_id, resource, reason",
    "outputs": "submission_key, output_index, output_id, s3_key, sha256, size_bytes, sealed_link",
    "budget_days": "*",  # by provider before, by account now; there each has the other's name
    "regenerations": "batch, partition_key, requested_by, generation, rows",
    "settlements": "submission_key, action, who, why, at",
}


def rows_of(before: Before) -> dict[str, list[Any]]:
    """Read the ledger as it is in the file, whatever its schema."""
    with closing(sqlite3.connect(before.ledger_file)) as database:
        return {
            table: sorted(database.execute(f"SELECT {columns} FROM {table}"))
            for table, columns in _KEPT.items()
        }


@pytest.mark.case(
    "a ledger of the release before is opened by this one",
    "no night turns stale, no reservation moves, no output and no decision is lost",
    area="old ledger",
)
def test_an_upgrade_changes_nothing_that_was_written(before_0008: Before) -> None:
    left = rows_of(before_0008)
    before_0008.open_ledger().close()
    assert rows_of(before_0008) == left
    assert not any(row[2] for row in left["nights"] + left["submissions"])


@pytest.mark.case(
    "two accounts of one provider shared its budget of the day, and the release changes at noon",
    "each account keeps what it has reserved of that day, to the micro-dollar",
    area="old ledger",
)
def test_an_upgrade_moves_todays_reservations_to_their_accounts(before_0008: Before) -> None:
    night = Night(BATCHES["floyo"], HALF)
    with closing(sqlite3.connect(before_0008.ledger_file)) as database, database:
        ((left,),) = database.execute("SELECT reserved_usd FROM budget_days WHERE provider='floyo'")
        ((moved,),) = database.execute(
            "SELECT sum(reserved_usd) FROM submissions WHERE batch=? AND partition_key=?", night
        )
        database.execute(
            "UPDATE submissions SET resource='floyo_eu' WHERE batch=? AND partition_key=?", night
        )
    today = before_0008.clock.now()
    with before_0008.open_ledger() as ledger:
        found = [ledger.reserved_usd(name, today) for name in ("floyo", "floyo_eu")]
    assert [int(usd.scaleb(6)) for usd in found] == [left - moved, moved]
    assert 0 < moved < left


def test_an_upgrade_counts_intents_so_that_what_was_bought_counts_more(
    before_0008: Before, ledger: RunLedger
) -> None:
    found = [one for p in PROVIDERS for night in nights(p) for one in ledger.submissions(night)]
    assert {one.intent_ledger_id for one in found} == {None}
    for one in found:
        proven_unsent = one.state in {SubmissionState.PLANNED, SubmissionState.SKIPPED} or (
            one.state is SubmissionState.CANCELED and one.provider_run_id is None
        )
        expected = 0 if one.submitting_at is None else 1 if proven_unsent else 2
        assert one.intents == expected, one
    assert {one.intents for one in found} == {0, 1, 2}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_output_that_was_stored_is_in_the_bucket(
    before_0008: Before, ledger: RunLedger, provider: str
) -> None:
    store, stored = before_0008.store(), 0
    for night in nights(provider):
        for outputs in ledger.outputs(night).values():
            for facts in (output.stored for output in outputs if output.stored):
                found = store.head(facts.s3_key)
                assert found is not None
                assert (found.size_bytes, found.sha256) == (facts.size_bytes, facts.sha256)
                stored += 1
    assert stored >= 10


def buy(settings: BatchSettings, night: Night, ports: Ports) -> None:
    """Do what a run over the night's first three assets does."""
    plan_night(settings, night.partition_key, ports, location=LOCATION)
    submit_night(settings, night, ports, owner="today")


@pytest.mark.case(
    "finished nights of the release before are materialized again",
    "nothing is bought, no row is stale, and their tables are written as they were",
    area="old ledger",
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_finished_nights_materialized_again_buy_nothing(
    before_0008: Before, ledger: RunLedger, provider: str
) -> None:
    ports = before_0008.ports(provider, ledger)
    billed = before_0008.control.state()[provider].runs_billed
    reserved = ledger.reserved_usd(provider, before_0008.clock.now())
    for night in nights(provider):
        if night.partition_key == HALF:
            continue
        single = night.partition_key == "all"
        buy(before_0008.settings(provider, single=single), night, ports)
        summary = collect_night(night, ports, owner="today")
        record = ledger.night(night)
        assert record is not None
        assert (record.stale, record.uncollected) == (0, 0)
        assert summary.images >= 1
    assert before_0008.control.state()[provider].runs_billed == billed
    assert ledger.reserved_usd(provider, before_0008.clock.now()) == reserved > Decimal(0)


@pytest.mark.case(
    "the release changes in the middle of a night",
    "the rest is bought once, what was in flight is stored, and what is in doubt is not bought",
    area="old ledger",
)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_night_cut_in_half_goes_on_and_ends_whole(
    before_0008: Before, ledger: RunLedger, provider: str
) -> None:
    night = Night(BATCHES[provider], HALF)
    ports, settings = before_0008.ports(provider, ledger), before_0008.settings(provider)
    left = before_0008.control.state()[provider]
    buy(settings, night, ports)
    for _ in range(ROUNDS):
        recover(ports)
        poll_due(ports, owner="today", budget_seconds=60)
        before_0008.clock.advance(600)
    collect_night(night, ports, owner="today")
    found = {one.prompt_id: one for one in ledger.submissions(night)}
    in_doubt = {name for name, one in found.items() if one.state == "unresolved"}
    assert in_doubt <= {"p3", "p7"}
    assert found["p2"].state == "failed"
    ended = set(found) - in_doubt - {"p2"}
    assert {found[name].state for name in ended} == {SubmissionState.SUCCEEDED}
    assert all(found[name].collected_at for name in ended)
    meter = before_0008.control.state()[provider]
    never_sent = {"p7", "p8", "p9", "p10"} - in_doubt
    assert meter.runs_billed - left.runs_billed == len(never_sent)
    assert meter.duplicate_bills == left.duplicate_bills
    record = ledger.night(night)
    assert record is not None
    assert not IN_FLIGHT & set(record.counts)
    assert (record.stale, record.uncollected) == (0, 0)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_links_that_were_sealed_before_still_open(
    before_0008: Before, ledger: RunLedger, provider: str
) -> None:
    ports = before_0008.ports(provider, ledger)
    night = Night(BATCHES[provider], UNCOLLECTED)
    for outputs in ledger.outputs(night).values():
        for output in outputs:
            assert (output.sealed_link is None) is ports.provider.capabilities.durable_outputs
            if output.sealed_link is not None:
                assert ports.seal is not None
                assert ports.seal.open(output.submission_key, output.output_id, output.sealed_link)


def test_the_sample_has_what_it_is_for(ledger: RunLedger) -> None:
    for provider in PROVIDERS:
        half = ledger.night(Night(BATCHES[provider], HALF))
        assert half is not None
        assert dict(half.counts) == {
            "planned": 3, "submitting": 1, "unresolved": 1, "submitted": 1,
            "running": 2, "succeeded": 2, "failed": 1,
        }  # fmt: skip
        for key in COLLECTED:
            record = ledger.night(Night(BATCHES[provider], key))
            assert record is not None
            assert (record.uncollected, record.collected_revision) == (0, record.revision)
