"""Every query that can meet many rows is answered by an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.ledger.closed_records import NightArchive
from flow_pipelines.ledger.schema import metadata
from flow_pipelines.model import Night, Receipt, Workflow
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    entry_of,
    facts,
    heartbeat,
    key_of,
    night_plan,
    refs,
)
from flow_pipelines_tests.fakes import ManualClock

NIGHT = Night("posters", "2026-11-21")
KEY = key_of(NIGHT, 0)
BEAT = heartbeat("run 1", night=NIGHT)
DUE: dict[str, Any] = {"provider": "floyo", "resource": "floyo", "location": "here"}

HOT: dict[str, Callable[[LedgerDriver], object]] = {
    "plan": lambda driver: driver.plan(NIGHT, range(3)),
    "plan a frozen night": lambda driver: driver.plan(NIGHT, range(2), content="second"),
    "regenerate": lambda driver: driver.ledger.regenerate(NIGHT, "run", "all", lambda _: []),
    "prompt_rows": lambda driver: driver.ledger.prompt_rows(NIGHT),
    "submission": lambda driver: driver.ledger.submission(KEY),
    "submissions": lambda driver: driver.ledger.submissions(NIGHT),
    "submissions by state": lambda driver: driver.ledger.submissions(NIGHT, states={S.PLANNED}),
    "submission_pages": lambda driver: list(driver.ledger.submission_pages(NIGHT, size=1)),
    "submission_pages by state": lambda driver: list(
        driver.ledger.submission_pages(NIGHT, states={S.PLANNED}, size=1)
    ),
    "each_with_outputs": lambda driver: list(driver.ledger.each_with_outputs(NIGHT)),
    "each_submission": lambda driver: list(driver.ledger.each_submission(NIGHT)),
    "pages_with_outputs": lambda driver: list(driver.ledger.pages_with_outputs(NIGHT)),
    "count_to_send": lambda driver: driver.ledger.count_to_send(
        night_plan(NIGHT), [], lambda _: []
    ),
    "search": lambda driver: driver.ledger.search(),
    "search by batch": lambda driver: driver.ledger.search(batch="posters"),
    "search by partition": lambda driver: driver.ledger.search(partition_key="2026-11-21"),
    "search a night": lambda driver: driver.ledger.search(
        batch="posters", partition_key="2026-11-21"
    ),
    "search a night by all": lambda driver: driver.ledger.search(
        batch="posters", partition_key="2026-11-21", provider="floyo", state=S.FAILED
    ),
    "search by provider": lambda driver: driver.ledger.search(provider="floyo"),
    "search by state": lambda driver: driver.ledger.search(state=S.FAILED),
    "search by all": lambda driver: driver.ledger.search(
        batch="posters", provider="f", state=S.FAILED
    ),
    "search_all by state": lambda driver: list(driver.ledger.search_all(state=S.FAILED)),
    "count_found of a night": lambda driver: driver.ledger.count_found(
        batch="posters", partition_key="2026-11-21", provider="floyo", state=S.FAILED
    ),
    "count_found by state": lambda driver: driver.ledger.count_found(state=S.FAILED),
    "known_runs": lambda driver: driver.ledger.known_runs("floyo", ["run a", "run b"]),
    "unresolved": lambda driver: driver.ledger.unresolved(**DUE),
    "unresolved of a night": lambda driver: driver.ledger.unresolved(**DUE, night=NIGHT),
    "outstanding": lambda driver: driver.ledger.outstanding(location="here"),
    "outstanding of a night": lambda driver: driver.ledger.outstanding(night=NIGHT),
    "keep_account": lambda driver: driver.ledger.keep_account("floyo", "floyo", frozenset({"w"})),
    "forget_account": lambda driver: driver.ledger.forget_account("floyo"),
    "planned_for": lambda driver: driver.ledger.planned_for(NIGHT),
    "nights_besides": lambda driver: driver.ledger.nights_besides(["posters"], location="here"),
    "night": lambda driver: driver.ledger.night(NIGHT),
    "night_records": lambda driver: driver.ledger.night_records([NIGHT, Night("covers", "x")]),
    "nights_to_do": lambda driver: driver.ledger.nights_to_do(["posters", "covers"]),
    "outputs": lambda driver: driver.ledger.outputs(NIGHT),
    "outputs_of": lambda driver: driver.ledger.outputs_of([KEY, key_of(NIGHT, 1)]),
    "stored_with": lambda driver: driver.ledger.stored_with("0" * 64),
    "cost_lines": lambda driver: driver.ledger.cost_lines(["posters"]),
    "cost_lines since": lambda driver: driver.ledger.cost_lines(since=driver.clock.now()),
    "cost_lines changed since": lambda driver: driver.ledger.cost_lines(
        changed_since=driver.clock.now()
    ),
    "spend": lambda driver: driver.ledger.spend(
        driver.clock.now(), driver.clock.now() + timedelta(days=1)
    ),
    "reserved_usd": lambda driver: driver.ledger.reserved_usd("floyo", driver.clock.now()),
    "spent_between": lambda driver: driver.ledger.spent_between(
        driver.clock.now(), driver.clock.now() + timedelta(days=1)
    ),
    "note_tick": lambda driver: driver.ledger.note_tick("floyo", "here"),
    "last_ticks": lambda driver: driver.ledger.last_ticks(),
    "note_daily_budget": lambda driver: driver.ledger.note_daily_budget("floyo", "floyo", None),
    "daily_budgets": lambda driver: driver.ledger.daily_budgets(),
    "begin": lambda driver: driver.begin(key_of(NIGHT, 1), budget="9", daily="9"),
    "receipt": lambda driver: driver.receive(KEY),
    "park_abandoned": lambda driver: driver.ledger.park_abandoned(location="here"),
    "park_abandoned of a night": lambda driver: driver.ledger.park_abandoned(night=NIGHT),
    "attach": lambda driver: driver.ledger.attach(
        key_of(NIGHT, 2), Receipt(provider_run_id="r"), who="ann", why="found"
    ),
    "skip": lambda driver: driver.ledger.skip([key_of(NIGHT, 1)], "budget"),
    "claim_due": lambda driver: driver.ledger.claim_due("owner", **DUE),
    "claim_due of a night": lambda driver: driver.ledger.claim_due("owner", **DUE, night=NIGHT),
    "next_due_at": lambda driver: driver.ledger.next_due_at(**DUE),
    "next_due_at of a night": lambda driver: driver.ledger.next_due_at(**DUE, night=NIGHT),
    "release_claims": lambda driver: driver.ledger.release_claims("owner"),
    "poll": lambda driver: driver.poll(KEY, S.SUCCEEDED, outputs=refs("a")),
    "postpone": lambda driver: driver.ledger.postpone_poll(KEY, driver.clock.now(), "502"),
    "mark_due": lambda driver: driver.ledger.mark_due(KEY),
    "stored": lambda driver: driver.ledger.record_stored(KEY, 0, facts()),
    "collected": lambda driver: driver.ledger.mark_collected(KEY),
    "record_collected": lambda driver: driver.ledger.record_collected(NIGHT, {KEY: {0: facts()}}),
    "nights_of": lambda driver: driver.ledger.nights_of("posters", after="2026-11-20"),
    "note_bucket": lambda driver: driver.ledger.note_bucket(NIGHT, {KEY: [0]}, "pictures"),
    "record_missing": lambda driver: driver.ledger.record_missing(KEY, {0: facts()}, "gone"),
    "settlements": lambda driver: driver.ledger.settlements(KEY),
    "attach_proven": lambda driver: driver.ledger.attach_proven(
        key_of(NIGHT, 1), Receipt(provider_run_id="told"), who="callback", why="its token"
    ),
    "note_key_known": lambda driver: driver.ledger.note_key_known(KEY, "409"),
    "detach": lambda driver: driver.ledger.detach(KEY, who="ann", why="not its own"),
    "detached_outputs": lambda driver: driver.ledger.detached_outputs(KEY),
    "note_second_run": lambda driver: driver.ledger.note_second_run(KEY, "second"),
    "second_runs": lambda driver: driver.ledger.second_runs([KEY, key_of(NIGHT, 1)]),
    "unsettled_second_runs": lambda driver: driver.ledger.unsettled_second_runs(),
    "settle_second_run": lambda driver: driver.ledger.settle_second_run(
        KEY, "second", who="ann", why="refunded"
    ),
    "search by batch and state": lambda driver: driver.ledger.search(
        batch="posters", state=S.FAILED
    ),
    "search by provider and state": lambda driver: driver.ledger.search(
        provider="f", state=S.FAILED
    ),
    "tallies": lambda driver: driver.ledger.tallies(NIGHT),
    "tallies_of": lambda driver: driver.ledger.tallies_of([NIGHT, Night("covers", "x")]),
    "counts_by_state": lambda driver: driver.ledger.counts_by_state(["posters", "covers"]),
    "in_flight": lambda driver: driver.ledger.in_flight(**DUE),
    "workload": lambda driver: driver.ledger.workload("floyo"),
    "run_times": lambda driver: driver.ledger.run_times("floyo", "version-1"),
    "batch_locations": lambda driver: driver.ledger.batch_locations(["posters", "covers"]),
    "claim_batch": lambda driver: driver.ledger.claim_batch("posters", "here"),
    "mark_night": lambda driver: driver.ledger.mark_night(NIGHT),
    "note_submitter": lambda driver: driver.ledger.note_submitter(NIGHT, None, None),
    "note_ask": lambda driver: driver.ledger.note_ask(NIGHT, "run", 10),
    "request_work": lambda driver: driver.ledger.request_work(
        NIGHT, "submit", not_before=driver.clock.now()
    ),
    "night_collected": lambda driver: driver.ledger.night_collected(NIGHT, 0),
    "park_submission": lambda driver: driver.ledger.park_submission(KEY, "lost"),
    "return_to_plan": lambda driver: driver.ledger.return_to_plan(KEY, "refused"),
    "reject_submission": lambda driver: driver.ledger.reject_submission(KEY, "code", "bad"),
    "reject_submission, one of a kind": lambda driver: driver.ledger.reject_submission(
        KEY, "code", "bad", refusal="alike"
    ),
    "settle_refused": lambda driver: driver.ledger.settle_refused(
        driver.ledger.submission(key_of(NIGHT, 2)), S.PLANNED, code=None, why="refused"
    ),
    "settle_not_created": lambda driver: driver.settle_not_created(key_of(NIGHT, 2)),
    "cancel_planned": lambda driver: driver.ledger.cancel_planned([key_of(NIGHT, 1)], "stop"),
    "record_output_problem": lambda driver: driver.ledger.record_output_problem(KEY, 0, "cut"),
    "workflow": lambda driver: driver.ledger.workflow("version-1"),
    "lease": lambda driver: driver.ledger.lease("submit:posters/2026-11-21"),
    "acquire_lease": lambda driver: driver.ledger.acquire_lease("submit:posters", "run 1", 45),
    "leases": lambda driver: driver.ledger.leases(["submit:posters/2026-11-21", "submit:covers/x"]),
    "release_lease": lambda driver: driver.ledger.release_lease("submit:posters", "owner"),
    "paused": lambda driver: driver.ledger.paused(),
    "resume": lambda driver: driver.ledger.resume(),
    "account_stop": lambda driver: driver.ledger.account_stop("floyo", driver.clock.now()),
    "provider_file": lambda driver: driver.ledger.provider_file("floyo", "sha"),
    "remember_file": lambda driver: driver.ledger.remember_file("floyo", "sha", "name"),
    "intents": lambda driver: driver.ledger.intents(NIGHT),
    "regenerations": lambda driver: driver.ledger.regenerations(NIGHT),
    "import_intents": lambda driver: driver.ledger.import_intents(
        NIGHT, [entry_of(driver.ledger.submission(key_of(NIGHT, 1)), intents=9)], []
    ),
    "note_place": lambda driver: driver.ledger.note_place(NIGHT, "s3://bucket/flow"),
    "journaled": lambda driver: driver.ledger.journaled(NIGHT, "s3://bucket/flow"),
    "places": lambda driver: driver.ledger.places("posters"),
    "partition_times": lambda driver: driver.ledger.partition_times("posters"),
    "nights_before": lambda driver: driver.ledger.nights_before(driver.clock.now()),
    "why_open": lambda driver: driver.ledger.why_open(
        NIGHT, before=driver.clock.now(), owner="pruner"
    ),
    "archive_rows": lambda driver: driver.ledger.archive_rows(NIGHT, lambda _, rows: list(rows)),
    "close_night": lambda driver: driver.ledger.close_night(
        _archive(driver)[0], before=driver.clock.now(), owner="pruner"
    ),
    "take_closed": lambda driver: driver.ledger.take_closed(*_archive(driver)),
    "closed_night": lambda driver: driver.ledger.closed_night(NIGHT),
    "closed_lines": lambda driver: driver.ledger.closed_lines(),
    "closed_lines of a night": lambda driver: driver.ledger.closed_lines(
        batch="posters", partition_key="2026-11-21", provider="floyo"
    ),
    "closed_submission": lambda driver: driver.ledger.closed_submission(KEY[:8]),
    "late_runs": lambda driver: driver.ledger.late_runs(NIGHT),
    "note_late_run": lambda driver: driver.ledger.note_late_run(KEY, "late"),
    "settle_late_run": lambda driver: driver.ledger.settle_late_run(KEY, "late", "refunded"),
    "beat": lambda driver: driver.ledger.beat(BEAT),
    "check_run": lambda driver: driver.ledger.check_run(BEAT.run_id),
    "silent_runs": lambda driver: driver.ledger.silent_runs("here", limit=9),
    "end_run": lambda driver: driver.ledger.end_run(BEAT.run_id, silent=["submit:posters/x"]),
    "close_run": lambda driver: driver.ledger.close_run(BEAT.run_id),
    "end_heartbeat": lambda driver: driver.ledger.end_heartbeat(BEAT),
    "forget_file": lambda driver: driver.ledger.forget_file("floyo", "sha", "name"),
}


def _archive(driver: LedgerDriver) -> tuple[NightArchive, dict[str, list[Any]]]:
    for kind in ("submit", "collect"):
        driver.ledger.acquire_lease(f"{kind}:{NIGHT}", "pruner", 60)
    rows: dict[str, list[Any]] = {}
    archive = driver.ledger.archive_rows(NIGHT, lambda name, each: rows.update({name: list(each)}))
    return archive, rows


ONLY_INSERTS = {"save_workflow", "move_batch", "pause", "stop_account"}
"""One row by its key, which is there or is not."""

_NEEDED: dict[str, tuple[str, ...]] = {
    "plan a frozen night": ("begin",),
    "receipt": ("intent",),
    "close_night": ("all skipped",),
    "note_late_run": ("all skipped", "close_night"),
    "settle_late_run": ("all skipped", "close_night", "note_late_run"),
    "attach": ("unresolved row",),
    "detach": ("intent", "receipt"),
    "settle_second_run": ("note_second_run",),
    "poll": ("intent", "receipt"),
    "postpone": ("intent", "receipt"),
    "stored": ("intent", "receipt", "poll"),
    "record_collected": ("intent", "receipt", "poll"),
    "note_bucket": ("intent", "receipt", "poll", "stored"),
    "record_missing": ("intent", "receipt", "poll", "stored"),
    "collected": ("intent", "receipt", "poll", "stored"),
    "claim_due": ("intent", "receipt"),
    "park_abandoned": ("intent", "wait"),
    "park_submission": ("intent",),
    "return_to_plan": ("intent",),
    "reject_submission": ("intent",),
    "reject_submission, one of a kind": ("intent",),
    "settle_refused": ("unresolved row",),
    "settle_not_created": ("unresolved row",),
    "record_output_problem": ("intent", "receipt", "poll"),
    "workflow": ("workflow kept",),
    "silent_runs": ("beat", "wait"),
    "end_run": ("beat", "wait"),
}
_STEPS: dict[str, Callable[[LedgerDriver], object]] = {
    **HOT,
    "intent": lambda driver: driver.begin(KEY),
    "all skipped": lambda driver: (
        driver.ledger.skip([key_of(NIGHT, number) for number in range(3)], "budget"),
        driver.ledger.night_collected(NIGHT, 2),
        driver.clock.advance(86_400),
    ),
    "workflow kept": lambda driver: driver.ledger.save_workflow(
        Workflow(reference="graph.json", version="version-1", body={}, parameters=())
    ),
    "wait": lambda driver: driver.clock.advance(3600),
    "unresolved row": lambda driver: (
        driver.begin(key_of(NIGHT, 2)),
        driver.ledger.park_submission(key_of(NIGHT, 2), "lost"),
    ),
}


@contextmanager
def _watched(ledger: RunLedger) -> Iterator[list[tuple[str, Any]]]:
    seen: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, _context, executemany) -> None:
        if not executemany and statement.split()[0] in {"SELECT", "UPDATE", "DELETE", "WITH"}:
            seen.append((statement, parameters))

    event.listen(ledger._database.engine, "before_cursor_execute", note)
    yield seen
    event.remove(ledger._database.engine, "before_cursor_execute", note)


@pytest.mark.parametrize("method", HOT)
def test_no_method_reads_a_whole_table(sqlite_url: str, method: str) -> None:
    driver = LedgerDriver(sqlite_url)
    driver.plan(NIGHT, range(3))
    for step in _NEEDED.get(method, ()):
        _STEPS[step](driver)

    with _watched(driver.ledger) as seen:
        HOT[method](driver)

    assert seen
    with driver.ledger._database.read() as connection:
        for statement, parameters in seen:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            scans = [row[3] for row in plan if _reads_a_table(row[3], statement)]
            assert scans == [], statement
    driver.ledger.close()


def _plans(sqlite_url: str, method: Callable[[LedgerDriver], object]) -> list[list[str]]:
    driver = LedgerDriver(sqlite_url)
    driver.plan(NIGHT, range(3))
    with _watched(driver.ledger) as seen:
        method(driver)
    with driver.ledger._database.read() as connection:
        plans = [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            for text, values in seen
        ]
    driver.ledger.close()
    return plans


@pytest.mark.parametrize("method", ["cost_lines changed since", "spend", "spent_between"])
def test_what_years_of_nights_are_asked_for_is_searched_and_not_walked(
    sqlite_url: str, method: str
) -> None:
    plans = _plans(sqlite_url, HOT[method])
    assert plans
    assert [step for plan in plans for step in plan if step.startswith("SCAN")] == []


@pytest.mark.parametrize("method", ["search a night", "search a night by all"])
def test_a_search_in_one_night_reads_that_night_alone(sqlite_url: str, method: str) -> None:
    [[search, *_]] = _plans(sqlite_url, HOT[method])
    assert "(batch=? AND partition_key=?" in search


@pytest.mark.parametrize("wanted", ["batch", "partition_key"])
def test_a_search_never_walks_all_that_a_provider_ever_ran(sqlite_url: str, wanted: str) -> None:
    narrowed = {wanted: "x", "provider": "floyo"}
    [[search, *_]] = _plans(sqlite_url, lambda driver: driver.ledger.search(**narrowed))
    assert f"({wanted}=?)" in search


def test_every_method_of_the_ledger_is_looked_at() -> None:
    steps = [step.__code__ for step in HOT.values()]
    words = [
        getattr(LedgerDriver, name)
        for step in steps
        for name in step.co_names
        if hasattr(LedgerDriver, name)
    ]
    called = {
        name for code in (*steps, *(word.__code__ for word in words)) for name in code.co_names
    }
    no_tables = {"close", "now", "skew"}
    methods = {name for name in dir(RunLedger) if not name.startswith("_")} - no_tables

    assert methods - called - ONLY_INSERTS == set()
    assert methods >= ONLY_INSERTS


def _reads_a_table(step: str, statement: str) -> bool:
    """Return whether a step of a plan walks a table's rows; along an index, LIMIT ends it.

    What else is scanned are rows that the query brings along.
    """
    word, table, *_ = step.split()
    ended = "INDEX" in step and "LIMIT" in statement
    return word == "SCAN" and table in metadata.tables and not ended


def test_the_check_sees_a_scan(sqlite_url: str) -> None:
    with open_ledger(sqlite_url, ManualClock()) as ledger, ledger._database.read() as connection:
        for wanted, walks in (
            ("* FROM submissions WHERE reason = 'x'", True),
            ("batch FROM submissions ORDER BY batch, planned_at", True),
            ("batch FROM submissions ORDER BY batch, planned_at LIMIT 9", False),
            ("batch FROM submissions WHERE batch = 'x'", False),
        ):
            statement = f"SELECT {wanted}"
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")
            assert any(_reads_a_table(row[3], statement) for row in plan) is walks
