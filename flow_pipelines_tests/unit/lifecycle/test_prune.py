"""A night is pruned: what of it stays, what never comes back, and every instant to die at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flow_pipelines.ledger import open_ledger
from flow_pipelines.lifecycle import (
    agenda,
    collect_night,
    open_night,
    regenerate,
    summarize_night,
)
from flow_pipelines.lifecycle.archive import archived_night, rows_of
from flow_pipelines.lifecycle.closed_nights import closed_night
from flow_pipelines.lifecycle.journal import journal_of
from flow_pipelines.lifecycle.journal_scan import compare_batch, compare_recent, find_behind
from flow_pipelines.lifecycle.poll import poll_due
from flow_pipelines.lifecycle.ports import collect_lease
from flow_pipelines.lifecycle.progress import night_status
from flow_pipelines.lifecycle.verify import repair_night, verify_night
from flow_pipelines.model import SubmissionState
from flow_pipelines.model.errors import (
    ConfigurationError,
    LedgerBehind,
    NightClosed,
    StorageError,
    WrongLedger,
)
from flow_pipelines.storage.receipts import adopt_owner, read_owner
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness
from flow_pipelines_tests.unit.lifecycle.pruning import (
    CITIES,
    DAY,
    buy,
    closed,
    collect,
    dying,
    killed,
    prune_all,
    tables,
)
from flow_pipelines_tests.unit.lifecycle.restoring import back_up, restore

_ALIKE = pytest.mark.exhaustive


def test_a_pruned_night_is_read_from_its_archive_as_it_was(harness: LifecycleHarness) -> None:
    buy(harness)
    ledger, night = harness.ledger, harness.night
    rows, outputs = ledger.submissions(night), ledger.outputs(night)
    summary, written = summarize_night(ledger, night), tables(harness)
    costs = ledger.cost_lines()

    [pruned] = prune_all(harness)

    assert pruned.why_not is None
    assert ledger.submissions(night) == []
    archived = archived_night(night, ledger, harness.store)
    assert archived is not None
    assert archived.uri == pruned.archive
    assert (archived.submissions(), archived.outputs()) == (rows, outputs)
    assert summarize_night(ledger, night, rows_of(night, ledger, harness.store)) == summary
    assert ledger.cost_lines() == costs
    assert tables(harness) == written
    assert verify_night(night, ledger, harness.store).files == 3
    status = night_status(ledger.night(night), night, ledger)
    assert status.is_complete
    assert "3 of 3 done" in status.describe()
    assert prune_all(harness) == []


def test_a_dry_run_changes_nothing(harness: LifecycleHarness) -> None:
    buy(harness)
    keys = list(harness.store.list_keys(""))
    [pruned] = prune_all(harness, dry_run=True)
    assert (pruned.why_not, pruned.archive) == (None, None)
    assert list(harness.store.list_keys("")) == keys
    assert not closed(harness)


def test_nothing_of_a_pruned_night_is_bought_again(harness: LifecycleHarness) -> None:
    buy(harness)
    prune_all(harness)
    before, written = harness.ledger.night(harness.night), tables(harness)
    ports = harness.ports

    for way in (
        lambda: harness.plan("Rome", "Oslo", "Lima", "Kyiv"),
        harness.submit,
        lambda: regenerate(harness.settings, harness.night, ports, requested_by="ann", scope="all"),
        lambda: open_night(harness.night, ports, owner="images"),
        lambda: collect_night(harness.night, ports, owner="images"),
    ):
        with pytest.raises((NightClosed, ConfigurationError)):
            way()
    assert len(harness.provider.posts) == 3
    assert harness.ledger.night(harness.night) == before
    assert tables(harness) == written
    assert agenda(harness.ledger, harness.clock, batches=["posters"]).todos == ()


def test_a_missing_file_of_a_pruned_night_is_told_and_not_collected(
    harness: LifecycleHarness,
) -> None:
    buy(harness)
    prune_all(harness)
    archived = archived_night(harness.night, harness.ledger, harness.store)
    assert archived is not None
    [output, *_] = next(iter(archived.outputs().values()))
    assert output.stored is not None
    harness.store.delete(output.stored.s3_key)

    checked = verify_night(harness.night, harness.ledger, harness.store)
    assert [problem.kind for problem in checked.problems] == ["missing"]
    with pytest.raises(NightClosed):
        repair_night(checked, harness.ports, owner="ann")


@pytest.mark.case(
    "the ledger is restored to a copy from before the night was pruned, or bought",
    "the archive says that it is closed: nothing is sent, polled into the tables or bought again",
    area="pruning",
)
@pytest.mark.parametrize("when", ["before planning", "planned", "submitted", "stored"])
@pytest.mark.parametrize("who", ["provider_runs", "images", "the sensor", "restore", "prompts"])
def test_an_older_copy_takes_the_night_as_closed(
    harness: LifecycleHarness, when: str, who: str
) -> None:
    copy = None if when != "before planning" else back_up(harness)
    harness.plan(*CITIES)
    copy = back_up(harness) if when == "planned" else copy
    harness.submit()
    copy = back_up(harness) if when == "submitted" else copy
    collect(harness)
    copy = back_up(harness) if when == "stored" else copy
    harness.clock.advance(10 * DAY)
    costs, written = harness.ledger.cost_lines(), tables(harness)
    assert [one.why_not for one in prune_all(harness)] == [None]
    assert copy is not None
    restore(harness, copy)
    books, night = harness.ports, harness.night
    if when == "before planning" and who != "restore":
        harness.plan(*CITIES)

    if who == "provider_runs":
        with pytest.raises(NightClosed):
            harness.submit()
    elif who == "images":
        with pytest.raises(NightClosed):
            open_night(night, books, owner="images")
    elif who == "prompts":
        assert closed_night(night, books) is not None
    else:
        note = read_owner(harness.store, night.batch)
        assert note is not None
        if who == "restore" or when != "before planning":
            assert list(compare_batch(books, night.batch, note)) == [(night, 0)]
        else:
            compare_recent(books, "", seconds=9)

    assert closed(harness)
    assert harness.ledger.submissions(night) == []
    assert harness.ledger.cost_lines() == costs
    assert poll_due(books, owner="sensor", budget_seconds=1).polled == 0
    assert len(harness.provider.posts) == 3
    assert tables(harness) == written
    assert find_behind(books, seconds=9) == ({}, True)


def test_a_lost_ledger_takes_the_night_from_the_archive_once_it_adopts_the_batch(
    harness: LifecycleHarness,
) -> None:
    buy(harness)
    run = str(harness.ledger.submissions(harness.night)[0].provider_run_id)
    costs = harness.ledger.cost_lines()
    prune_all(harness)
    harness.ledger.close()
    harness.ledger = open_ledger(f"sqlite:///{harness.folder / 'new.db'}", harness.clock)
    assert closed_night(harness.night, harness.ports) is None  # another ledger's
    adopt_owner(harness.store, harness.night.batch, harness.ledger.ledger_id)
    note = read_owner(harness.store, harness.night.batch)
    assert note is not None

    assert list(compare_batch(harness.ports, harness.night.batch, note)) == [(harness.night, 0)]
    assert harness.ledger.cost_lines() == costs
    assert harness.ledger.known_runs("floyo", [run]) == {run}
    with pytest.raises(NightClosed):
        harness.plan(*CITIES)
    version = rows_of(harness.night, harness.ledger, harness.store).submissions(harness.night)
    assert harness.ledger.workflow(version[0].workflow_version).reference == "graph.json"


@pytest.mark.case(
    "a process is killed anywhere between reading a night's rows and taking them out",
    "the night is whole in the ledger, or closed whole; the next prune closes it",
    area="pruning",
)
@pytest.mark.parametrize("after", [True, False], ids=["after", "before"])
@pytest.mark.parametrize(
    ("port", "nth"),
    [
        *(pytest.param("store", nth, marks=_ALIKE) for nth in range(1, 16) if nth not in {4, 11}),
        *(("store", nth) for nth in (4, 11)),
        ("ledger", 1),
        ("ledger", 2),
    ],
)
def test_a_death_anywhere_leaves_the_night_whole_or_closed(
    harness: LifecycleHarness, port: str, nth: int, *, after: bool
) -> None:
    buy(harness)
    rows, costs = harness.ledger.submissions(harness.night), harness.ledger.cost_lines()
    with killed():
        prune_all(harness, dying(harness, port, nth, after=after))
    assert closed(harness) == ((port, nth, after) == ("ledger", 2, True))
    if not closed(harness):
        assert harness.ledger.submissions(harness.night) == rows
    harness.clock.advance(120)

    prune_all(harness)
    assert closed(harness)
    assert harness.ledger.cost_lines() == costs
    archived = archived_night(harness.night, harness.ledger, harness.store)
    assert archived is not None
    archived.check()
    assert archived.submissions() == rows


@pytest.mark.case(
    "killed after the archive was written; then rows of the night are bought again on purpose",
    "nobody believes that archive: the journal names a later intent",
    area="pruning",
)
def test_an_archive_that_the_night_went_on_from_closes_nothing(
    harness: LifecycleHarness,
) -> None:
    buy(harness)
    with killed():
        prune_all(harness, dying(harness, "ledger", 2, after=False))
    harness.clock.advance(120)
    ports = harness.ports

    regenerate(harness.settings, harness.night, ports, requested_by="ann", scope="all")
    assert closed_night(harness.night, harness.ports) is None
    copy = back_up(harness)
    harness.ledger = open_ledger(f"sqlite:///{harness.folder / 'ledger.db'}", harness.clock)
    harness.submit(asked_by="ann")
    assert len(harness.provider.posts) == 6
    restore(harness, copy)
    with pytest.raises(LedgerBehind):
        harness.submit(asked_by="ann")
    assert len(harness.provider.posts) == 6
    assert not closed(harness)


def test_a_journal_that_names_a_later_intent_outweighs_an_archive(
    harness: LifecycleHarness,
) -> None:
    harness.plan(*CITIES)
    copy = back_up(harness)
    harness.submit()
    collect(harness)
    harness.clock.advance(10 * DAY)
    with killed():
        prune_all(harness, dying(harness, "ledger", 2, after=False))
    harness.clock.advance(120)
    ports = harness.ports
    regenerate(harness.settings, harness.night, ports, requested_by="ann", scope="all")
    harness.submit(asked_by="ann")
    restore(harness, copy)

    with pytest.raises(LedgerBehind, match=r"names 6 submission\(s\)"):
        harness.submit(asked_by="ann")
    assert not closed(harness)
    assert len(harness.provider.posts) == 6


@pytest.mark.case(
    "killed after the archive was written; then a callback names a second run of a row",
    "the night is not closed by that archive, which does not know of it",
    area="pruning",
)
def test_an_archive_that_lacks_what_was_told_since_closes_nothing(
    harness: LifecycleHarness,
) -> None:
    buy(harness)
    [key, *_] = harness.keys(SubmissionState.SUCCEEDED)
    with killed():
        prune_all(harness, dying(harness, "ledger", 2, after=False))
    harness.clock.advance(120)
    harness.ledger.note_second_run(key, "another")

    assert closed_night(harness.night, harness.ports) is None
    open_night(harness.night, harness.ports, owner="images")
    assert len(harness.ledger.unsettled_second_runs()) == 1
    harness.ledger.settle_second_run(key, "another", who="ann", why="refunded")
    assert [one.why_not for one in prune_all(harness)] == [None]
    assert [one.settled_why for one in harness.ledger.late_runs(harness.night)] == ["refunded"]


def test_a_broken_archive_closes_nothing(harness: LifecycleHarness) -> None:
    buy(harness)
    store: Any = harness.store

    class Lossy:
        """Keeps something else than it is given."""

        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def get(self, key: str, **how: Any) -> bytes | None:
            content = store.get(key, **how)
            return content and (content[:-1] if "_archive/" in key else content)

    with pytest.raises(StorageError, match="another file"):
        prune_all(harness, replace(harness.ports, store=Lossy()))
    assert not closed(harness)


def test_an_archive_that_cannot_be_read_stops_whoever_would_buy(harness: LifecycleHarness) -> None:
    harness.plan(*CITIES)
    copy = back_up(harness)
    harness.submit()
    collect(harness)
    harness.clock.advance(10 * DAY)
    prune_all(harness)
    restore(harness, copy)
    journal = journal_of(harness.store, harness.night)
    [name] = journal.listed().closed
    harness.store.put(journal.key(name), b'{"partition_key": "x"}', media_type="application/json")
    with pytest.raises(WrongLedger, match="says that a night is closed, and cannot be read"):
        harness.submit()
    assert len(harness.provider.posts) == 3


def test_a_ledger_that_is_behind_prunes_nothing(harness: LifecycleHarness) -> None:
    harness.plan(*CITIES)
    harness.submit(limit=1)
    harness.ledger.cancel_planned(harness.keys(SubmissionState.PLANNED), "enough")
    collect(harness)
    copy = back_up(harness)
    ports = harness.ports
    regenerate(harness.settings, harness.night, ports, requested_by="ann", scope="all")
    harness.submit(asked_by="ann")
    restore(harness, copy)
    harness.clock.advance(10 * DAY)
    [pruned] = prune_all(harness)
    assert "ledger restore" in str(pruned.why_not)
    assert not closed(harness)


def test_a_night_that_somebody_collects_is_left_alone(harness: LifecycleHarness) -> None:
    buy(harness)
    harness.ledger.acquire_lease(collect_lease(harness.night), "images", 60)
    [pruned] = prune_all(harness)
    assert pruned.why_not == "images works on it now"
    harness.clock.advance(120)
    assert [one.why_not for one in prune_all(harness)] == [None]


def test_another_ledgers_batch_is_left_alone(harness: LifecycleHarness) -> None:
    buy(harness)
    adopt_owner(harness.store, harness.night.batch, "another")
    [pruned] = prune_all(harness)
    assert "belongs to ledger another" in str(pruned.why_not)
    assert not closed(harness)


def test_tables_are_not_written_over_by_who_slept_while_the_night_was_pruned(
    harness: LifecycleHarness,
) -> None:
    buy(harness)
    written, ports = tables(harness), harness.ports

    class Asleep:
        """A ledger whose night is pruned while this process reads its rows."""

        def __getattr__(self, name: str) -> Any:
            return getattr(ports.ledger, name)

        def pages_with_outputs(self, night: Any) -> Any:
            harness.ledger.release_lease(collect_lease(harness.night), "images")
            prune_all(harness)
            return ports.ledger.pages_with_outputs(night)

    asleep: Any = Asleep()
    with pytest.raises(NightClosed):
        collect_night(harness.night, replace(ports, ledger=asleep), owner="images")
    assert tables(harness) == written
