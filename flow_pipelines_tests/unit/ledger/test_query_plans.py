"""Every query that can meet many rows is answered by an index."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.ledger.schema import metadata
from flow_pipelines.model import Night, Receipt, Workflow
from flow_pipelines_tests.conformance.ledger.desk import Desk, S, entry_of, facts, key_of, refs
from flow_pipelines_tests.fakes import ManualClock

NIGHT = Night("posters", "2026-11-21")
KEY = key_of(NIGHT, 0)
DUE: dict[str, Any] = {"provider": "floyo", "resource": "floyo", "location": "here"}

HOT: dict[str, Callable[[Desk], object]] = {
    "plan": lambda desk: desk.plan(NIGHT, range(3)),
    "plan a frozen night": lambda desk: desk.plan(NIGHT, range(2), content="second"),
    "regenerate": lambda desk: desk.ledger.regenerate(NIGHT, "run", "all", lambda _: []),
    "prompt_rows": lambda desk: desk.ledger.prompt_rows(NIGHT),
    "submission": lambda desk: desk.ledger.submission(KEY),
    "submissions": lambda desk: desk.ledger.submissions(NIGHT),
    "submissions by state": lambda desk: desk.ledger.submissions(NIGHT, states={S.PLANNED}),
    "submission_pages": lambda desk: list(desk.ledger.submission_pages(NIGHT, size=1)),
    "submission_pages by state": lambda desk: list(
        desk.ledger.submission_pages(NIGHT, states={S.PLANNED}, size=1)
    ),
    "search": lambda desk: desk.ledger.search(),
    "search by batch": lambda desk: desk.ledger.search(batch="posters"),
    "search by partition": lambda desk: desk.ledger.search(partition_key="2026-11-21"),
    "search a night": lambda desk: desk.ledger.search(batch="posters", partition_key="2026-11-21"),
    "search a night by all": lambda desk: desk.ledger.search(
        batch="posters", partition_key="2026-11-21", provider="floyo", state=S.FAILED
    ),
    "search by provider": lambda desk: desk.ledger.search(provider="floyo"),
    "search by state": lambda desk: desk.ledger.search(state=S.FAILED),
    "search by all": lambda desk: desk.ledger.search(batch="posters", provider="f", state=S.FAILED),
    "search_all by state": lambda desk: list(desk.ledger.search_all(state=S.FAILED)),
    "count_found of a night": lambda desk: desk.ledger.count_found(
        batch="posters", partition_key="2026-11-21", provider="floyo", state=S.FAILED
    ),
    "count_found by state": lambda desk: desk.ledger.count_found(state=S.FAILED),
    "known_runs": lambda desk: desk.ledger.known_runs("floyo", ["run a", "run b"]),
    "unresolved": lambda desk: desk.ledger.unresolved(**DUE),
    "unresolved of a night": lambda desk: desk.ledger.unresolved(**DUE, night=NIGHT),
    "outstanding": lambda desk: desk.ledger.outstanding(location="here"),
    "outstanding of a night": lambda desk: desk.ledger.outstanding(night=NIGHT),
    "keep_account": lambda desk: desk.ledger.keep_account("floyo", "floyo", frozenset({"w"})),
    "forget_account": lambda desk: desk.ledger.forget_account("floyo"),
    "planned_for": lambda desk: desk.ledger.planned_for(NIGHT),
    "nights_besides": lambda desk: desk.ledger.nights_besides(["posters"], location="here"),
    "night": lambda desk: desk.ledger.night(NIGHT),
    "night_records": lambda desk: desk.ledger.night_records([NIGHT, Night("covers", "x")]),
    "nights_to_do": lambda desk: desk.ledger.nights_to_do(["posters", "covers"]),
    "outputs": lambda desk: desk.ledger.outputs(NIGHT),
    "outputs_of": lambda desk: desk.ledger.outputs_of([KEY, key_of(NIGHT, 1)]),
    "stored_with": lambda desk: desk.ledger.stored_with("0" * 64),
    "cost_lines": lambda desk: desk.ledger.cost_lines(["posters"]),
    "cost_lines since": lambda desk: desk.ledger.cost_lines(since=desk.clock.now()),
    "cost_lines changed since": lambda desk: desk.ledger.cost_lines(changed_since=desk.clock.now()),
    "spend": lambda desk: desk.ledger.spend(desk.clock.now(), desk.clock.now() + timedelta(days=1)),
    "reserved_usd": lambda desk: desk.ledger.reserved_usd("floyo", desk.clock.now()),
    "begin": lambda desk: desk.begin(key_of(NIGHT, 1), budget="9", daily="9"),
    "receipt": lambda desk: desk.receive(KEY),
    "park_abandoned": lambda desk: desk.ledger.park_abandoned(location="here"),
    "park_abandoned of a night": lambda desk: desk.ledger.park_abandoned(night=NIGHT),
    "attach": lambda desk: desk.ledger.attach(
        key_of(NIGHT, 2), Receipt(provider_run_id="r"), who="ann", why="found"
    ),
    "skip": lambda desk: desk.ledger.skip([key_of(NIGHT, 1)], "budget"),
    "claim_due": lambda desk: desk.ledger.claim_due("owner", **DUE),
    "claim_due of a night": lambda desk: desk.ledger.claim_due("owner", **DUE, night=NIGHT),
    "next_due_at": lambda desk: desk.ledger.next_due_at(**DUE),
    "next_due_at of a night": lambda desk: desk.ledger.next_due_at(**DUE, night=NIGHT),
    "release_claims": lambda desk: desk.ledger.release_claims("owner"),
    "poll": lambda desk: desk.poll(KEY, S.SUCCEEDED, outputs=refs("a")),
    "postpone": lambda desk: desk.ledger.postpone_poll(KEY, desk.clock.now(), "502"),
    "mark_due": lambda desk: desk.ledger.mark_due(KEY),
    "stored": lambda desk: desk.ledger.record_stored(KEY, 0, facts()),
    "collected": lambda desk: desk.ledger.mark_collected(KEY),
    "record_collected": lambda desk: desk.ledger.record_collected(NIGHT, {KEY: {0: facts()}}),
    "nights_of": lambda desk: desk.ledger.nights_of("posters", after="2026-11-20"),
    "note_bucket": lambda desk: desk.ledger.note_bucket(NIGHT, {KEY: [0]}, "pictures"),
    "record_missing": lambda desk: desk.ledger.record_missing(KEY, {0: facts()}, "gone"),
    "settlements": lambda desk: desk.ledger.settlements(KEY),
    "attach_told": lambda desk: desk.ledger.attach_told(
        key_of(NIGHT, 1), Receipt(provider_run_id="told"), who="callback", why="its token"
    ),
    "note_key_known": lambda desk: desk.ledger.note_key_known(KEY, "409"),
    "detach": lambda desk: desk.ledger.detach(KEY, who="ann", why="not its own"),
    "detached_outputs": lambda desk: desk.ledger.detached_outputs(KEY),
    "note_second_run": lambda desk: desk.ledger.note_second_run(KEY, "second"),
    "second_runs": lambda desk: desk.ledger.second_runs([KEY, key_of(NIGHT, 1)]),
    "unsettled_second_runs": lambda desk: desk.ledger.unsettled_second_runs(),
    "settle_second_run": lambda desk: desk.ledger.settle_second_run(
        KEY, "second", who="ann", why="refunded"
    ),
    "search by batch and state": lambda desk: desk.ledger.search(batch="posters", state=S.FAILED),
    "search by provider and state": lambda desk: desk.ledger.search(provider="f", state=S.FAILED),
    "tallies": lambda desk: desk.ledger.tallies(NIGHT),
    "tallies_of": lambda desk: desk.ledger.tallies_of([NIGHT, Night("covers", "x")]),
    "counts_by_state": lambda desk: desk.ledger.counts_by_state(["posters", "covers"]),
    "in_flight": lambda desk: desk.ledger.in_flight(**DUE),
    "workload": lambda desk: desk.ledger.workload("floyo"),
    "run_times": lambda desk: desk.ledger.run_times("floyo", "version-1"),
    "batch_locations": lambda desk: desk.ledger.batch_locations(["posters", "covers"]),
    "claim_batch": lambda desk: desk.ledger.claim_batch("posters", "here"),
    "mark_night": lambda desk: desk.ledger.mark_night(NIGHT),
    "note_submitter": lambda desk: desk.ledger.note_submitter(NIGHT, None, None),
    "note_ask": lambda desk: desk.ledger.note_ask(NIGHT, "run", 10),
    "request_work": lambda desk: desk.ledger.request_work(
        NIGHT, "submit", not_before=desk.clock.now()
    ),
    "night_collected": lambda desk: desk.ledger.night_collected(NIGHT, 0),
    "park_submission": lambda desk: desk.ledger.park_submission(KEY, "lost"),
    "return_to_plan": lambda desk: desk.ledger.return_to_plan(KEY, "refused"),
    "reject_submission": lambda desk: desk.ledger.reject_submission(KEY, "code", "bad"),
    "reject_submission, one of a kind": lambda desk: desk.ledger.reject_submission(
        KEY, "code", "bad", refusal="alike"
    ),
    "settle_refused": lambda desk: desk.ledger.settle_refused(
        desk.ledger.submission(key_of(NIGHT, 2)), S.PLANNED, code=None, why="refused"
    ),
    "settle_not_created": lambda desk: desk.settle_not_created(key_of(NIGHT, 2)),
    "cancel_planned": lambda desk: desk.ledger.cancel_planned([key_of(NIGHT, 1)], "stop"),
    "record_output_problem": lambda desk: desk.ledger.record_output_problem(KEY, 0, "cut"),
    "workflow": lambda desk: desk.ledger.workflow("version-1"),
    "lease": lambda desk: desk.ledger.lease("submit:posters/2026-11-21"),
    "leases": lambda desk: desk.ledger.leases(["submit:posters/2026-11-21", "submit:covers/x"]),
    "release_lease": lambda desk: desk.ledger.release_lease("submit:posters", "owner"),
    "paused": lambda desk: desk.ledger.paused(),
    "resume": lambda desk: desk.ledger.resume(),
    "account_stop": lambda desk: desk.ledger.account_stop("floyo", desk.clock.now()),
    "provider_file": lambda desk: desk.ledger.provider_file("floyo", "sha"),
    "remember_file": lambda desk: desk.ledger.remember_file("floyo", "sha", "name"),
    "intents": lambda desk: desk.ledger.intents(NIGHT),
    "regenerations": lambda desk: desk.ledger.regenerations(NIGHT),
    "import_intents": lambda desk: desk.ledger.import_intents(
        NIGHT, [entry_of(desk.ledger.submission(key_of(NIGHT, 1)), intents=9)], []
    ),
    "note_place": lambda desk: desk.ledger.note_place(NIGHT, "s3://bucket/flow"),
    "journaled": lambda desk: desk.ledger.journaled(NIGHT, "s3://bucket/flow"),
    "places": lambda desk: desk.ledger.places("posters"),
    "partition_times": lambda desk: desk.ledger.partition_times("posters"),
    "forget_file": lambda desk: desk.ledger.forget_file("floyo", "sha", "name"),
}

ONLY_INSERTS = {"save_workflow", "acquire_lease", "move_batch", "pause", "stop_account"}
"""One row by its key, which is there or is not."""

_NEEDED: dict[str, tuple[str, ...]] = {
    "plan a frozen night": ("begin",),
    "receipt": ("intent",),
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
}
_STEPS: dict[str, Callable[[Desk], object]] = {
    **HOT,
    "intent": lambda desk: desk.begin(KEY),
    "workflow kept": lambda desk: desk.ledger.save_workflow(
        Workflow(reference="graph.json", version="version-1", body={}, parameters=())
    ),
    "wait": lambda desk: desk.clock.advance(3600),
    "unresolved row": lambda desk: (
        desk.begin(key_of(NIGHT, 2)),
        desk.ledger.park_submission(key_of(NIGHT, 2), "lost"),
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
    desk = Desk(sqlite_url)
    desk.plan(NIGHT, range(3))
    for step in _NEEDED.get(method, ()):
        _STEPS[step](desk)

    with _watched(desk.ledger) as seen:
        HOT[method](desk)

    assert seen
    with desk.ledger._database.read() as connection:
        for statement, parameters in seen:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            scans = [row[3] for row in plan if _reads_a_table(row[3], statement)]
            assert scans == [], statement
    desk.ledger.close()


def _plans(sqlite_url: str, method: Callable[[Desk], object]) -> list[list[str]]:
    desk = Desk(sqlite_url)
    desk.plan(NIGHT, range(3))
    with _watched(desk.ledger) as seen:
        method(desk)
    with desk.ledger._database.read() as connection:
        plans = [
            [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", values)]
            for text, values in seen
        ]
    desk.ledger.close()
    return plans


@pytest.mark.parametrize("method", ["cost_lines changed since", "spend"])
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
    [[search, *_]] = _plans(sqlite_url, lambda desk: desk.ledger.search(**narrowed))
    assert f"({wanted}=?)" in search


def test_every_method_of_the_ledger_is_looked_at() -> None:
    steps = [step.__code__ for step in HOT.values()]
    words = [getattr(Desk, name) for step in steps for name in step.co_names if hasattr(Desk, name)]
    called = {
        name for code in (*steps, *(word.__code__ for word in words)) for name in code.co_names
    }
    methods = {name for name in dir(RunLedger) if not name.startswith("_")} - {"close"}

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
