"""Nights whose rows go, and what stays known of them, on every database."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, make_url, select

from flow_pipelines.ledger.archived_rows import ARCHIVED, OF_SUBMISSIONS, as_json, from_json
from flow_pipelines.ledger.changing import of_night
from flow_pipelines.ledger.closed import MOST_LATE_RUNS
from flow_pipelines.ledger.closed_records import NightArchive
from flow_pipelines.ledger.closed_schema import closed_sums
from flow_pipelines.ledger.schema import ledger_meta, metadata, nights, submissions
from flow_pipelines.ledger.upgrading import ONCE_PRUNED
from flow_pipelines.model import Night, Receipt
from flow_pipelines.model.errors import LedgerError, NightClosed
from flow_pipelines_tests.conformance.ledger.closing import (
    archive,
    close,
    finished,
    sums,
    why_open,
)
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    entry_of,
    key_of,
    new_night,
    night_plan,
    planned_row,
)


def test_sums_of_a_closed_night_are_those_of_its_rows(driver: LedgerDriver) -> None:
    night, other = finished(driver), finished(driver, new_night())
    before = sums(driver, night)

    assert close(driver, night)
    assert sums(driver, night) == before
    assert driver.ledger.submissions(night) == []
    assert len(driver.ledger.submissions(other)) == 4
    [line] = driver.ledger.closed_lines(partition_key=night.partition_key)
    assert (line.night, line.cost_usd, line.flotime_ms) == (night, Decimal("0.076666"), 3000)
    assert line.counts == {"failed": 1, "skipped": 1, "succeeded": 2}
    assert (line.images, line.by_account) == (4, {"floyo": Decimal("0.076666")})
    assert not close(driver, night, replace(archive_of_another(driver, other), night=night))


def archive_of_another(driver: LedgerDriver, night: Night) -> NightArchive:
    return archive(driver, night)[0]


@pytest.mark.parametrize("table", ARCHIVED.values(), ids=ARCHIVED)
def test_no_row_is_left_of_a_closed_night(driver: LedgerDriver, table: Any) -> None:
    night = finished(driver)
    key = key_of(night, 2)
    driver.ledger.note_second_run(key, "another")
    driver.ledger.settle_second_run(key, "another", who="ann", why="refunded")
    assert close(driver, night)

    with driver.ledger._database.read() as connection:
        assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0


def test_whatever_refers_to_submissions_is_archived() -> None:
    for table in metadata.tables.values():
        refers = any(key.column.table is submissions for key in table.foreign_keys)
        assert refers == (table in OF_SUBMISSIONS), table.name
        assert not refers or "submission_key" in table.c


def test_archived_rows_come_back_as_they_were(driver: LedgerDriver) -> None:
    night = finished(driver)
    archived, rows = archive(driver, night)

    read = json.loads(json.dumps([as_json(archived.row), *map(as_json, archived.sums)]))
    assert from_json(nights, read[0]) == archived.row
    assert [from_json(closed_sums, part) for part in read[1:]] == archived.sums
    assert [row["seed"] for row in rows["submissions"]] == [str(2**64 - 1 - n) for n in range(4)]
    assert "sealed_link" not in rows["outputs"][0]


@pytest.mark.parametrize(
    "kind", ["plan", "ask", "regenerate", "mark", "submitter", "count", "intents", "work", "tables"]
)
def test_nothing_of_a_closed_night_is_planned_or_changed(driver: LedgerDriver, kind: str) -> None:
    night = finished(driver)
    row = driver.ledger.submission(key_of(night, 3))
    assert close(driver, night)
    ledger = driver.ledger
    ways: Mapping[str, Any] = {
        "plan": lambda: driver.plan(night, range(9)),
        "ask": lambda: ledger.note_ask(night, "run", 10),
        "regenerate": lambda: ledger.regenerate(
            night, "run", "all", lambda n: [planned_row(night, 0, generation=n)]
        ),
        "mark": lambda: ledger.mark_night(night),
        "submitter": lambda: ledger.note_submitter(night, None, None),
        "count": lambda: ledger.count_to_send(night_plan(night), [], lambda _: []),
        "intents": lambda: ledger.import_intents(night, [entry_of(row, intents=9)], []),
        "work": lambda: ledger.request_work(night, "submit", not_before=driver.clock.now()),
        "tables": lambda: ledger.night_collected(night, 0),
    }
    record = ledger.night(night)
    with pytest.raises(NightClosed, match="is closed: it was pruned"):
        ways[kind]()
    assert ledger.night(night) == record
    assert ledger.submissions(night) == []
    assert ledger.nights_to_do([night.batch]) == []


@pytest.mark.case(
    "a process of the version before still runs, and plans a night again that was pruned",
    "the database refuses the rows: nothing of it can be bought",
    area="old ledger",
)
def test_the_database_itself_refuses_rows_of_a_closed_night(driver: LedgerDriver) -> None:
    night, other = finished(driver), new_night()
    driver.plan(other, range(2))
    with driver.ledger._database.read() as connection:
        query = select(submissions).where(submissions.c.submission_key == key_of(other, 0))
        row = dict(connection.execute(query).mappings().one())
    assert close(driver, night)

    further = {**row, "submission_key": "new", "prompt_id": "new"}
    with pytest.raises(LedgerError, match="closed"), driver.ledger._database.write() as connection:
        connection.execute(insert(submissions).values({**further, **night._asdict()}))
    with driver.ledger._database.write() as connection:
        connection.execute(insert(submissions).values(further))


def test_releases_that_know_no_closed_nights_are_kept_out_once_there_is_one(
    driver: LedgerDriver,
) -> None:
    note = {"name": "oldest_code of 0010", "value": "0009"}
    with driver.ledger._database.write() as connection:
        connection.execute(delete(ledger_meta).where(ledger_meta.c.name == note["name"]))
        connection.execute(insert(ledger_meta).values(note))
    night = finished(driver)
    assert close(driver, night)
    with driver.ledger._database.read() as connection:
        kept = {row.name: row.value for row in connection.execute(select(ledger_meta))}
    assert kept[note["name"]] == "0010"
    assert kept[ONCE_PRUNED] == "0010"


def test_runs_of_a_closed_night_stay_known(driver: LedgerDriver) -> None:
    night, tonight = finished(driver), new_night()
    key, run = key_of(night, 0), f"run {key_of(night, 0)}"
    driver.ledger.note_second_run(key, "second")
    driver.ledger.settle_second_run(key, "second", who="ann", why="refunded")
    driver.clock.advance(3600)
    assert close(driver, night)
    driver.plan(tonight)
    driver.begin(key_of(tonight, 0))

    assert driver.ledger.known_runs("floyo", [run, "second", "new"]) == {run, "second"}
    assert driver.ledger.known_runs("flora", [run]) == set()
    for taken in (run, "second"):
        with pytest.raises(LedgerError, match=f"already belongs to submission {key}"):
            driver.receive(key_of(tonight, 0), taken)
    known = driver.ledger.closed_submission(key)
    assert known is not None
    assert (known.night, known.provider_run_id) == (night, run)
    assert driver.ledger.closed_submission("no such key") is None


def test_a_lost_ledger_takes_a_closed_night_over(
    driver: LedgerDriver, make_ledger_url: Any
) -> None:
    night = finished(driver)
    driver.ledger.note_second_run(key_of(night, 0), "second")
    driver.ledger.settle_second_run(key_of(night, 0), "second", who="ann", why="refunded")
    archived, rows = archive(driver, night)
    driver.clock.advance(3600)
    assert close(driver, night, archived)
    lost = LedgerDriver(make_ledger_url(), driver.clock)

    assert lost.ledger.take_closed(archived, rows)
    assert not lost.ledger.take_closed(archived, rows)
    assert sums(lost, night) == sums(driver, night)
    assert lost.ledger.late_runs(night) == driver.ledger.late_runs(night)
    assert lost.ledger.known_runs("floyo", ["second"]) == {"second"}
    assert lost.ledger.closed_night(night) == driver.ledger.closed_night(night)
    with pytest.raises(NightClosed):
        lost.plan(night, range(9))
    lost.ledger.close()


@pytest.mark.parametrize("rows_of_then", ["planned", "submitted"])
def test_an_older_copy_takes_a_closed_night_over(
    driver: LedgerDriver, make_ledger_url: Any, rows_of_then: str
) -> None:
    old = LedgerDriver(make_ledger_url(), driver.clock)
    night = new_night()
    old.plan(night, range(4))
    if rows_of_then == "submitted":
        old.submit(key_of(night, 0), estimate="5")
    finished(driver, night)
    archived, rows = archive(driver, night)
    assert close(driver, night, archived)

    assert old.ledger.take_closed(archived, rows)
    assert sums(old, night) == sums(driver, night)
    assert old.ledger.claim_due("sensor", provider="floyo", resource="floyo") == []
    assert old.ledger.nights_to_do([night.batch]) == []
    old.ledger.close()


def test_an_archive_without_the_latest_intent_closes_nothing(driver: LedgerDriver) -> None:
    night = finished(driver)
    archived, rows = archive(driver, night)
    driver.ledger.regenerate(night, "run", "all", lambda n: [planned_row(night, 0, generation=n)])
    driver.submit(key_of(night, 0, generation=1))
    assert not driver.ledger.take_closed(archived, rows)
    assert len(driver.ledger.submissions(night)) == 5


def test_runs_that_callbacks_name_later_are_kept_and_bounded(driver: LedgerDriver) -> None:
    night = finished(driver)
    key = key_of(night, 0)
    assert close(driver, night)
    ledger = driver.ledger

    own = ledger.note_late_run(key, None)
    assert own is not None
    assert own.is_its_own
    for number in range(MOST_LATE_RUNS + 5):
        assert ledger.note_late_run(key, f"late {number}")
    assert ledger.note_late_run(key, "late 0")
    assert ledger.note_late_run("no such key", "late") is None
    assert ledger.note_late_run(key_of(night, 3), None) is None
    assert len(ledger.late_runs(night)) == MOST_LATE_RUNS
    ledger.settle_late_run(key, "late 0", "refunded")
    settled = [one for one in ledger.late_runs(night) if one.settled_why]
    assert [one.provider_run_id for one in settled] == ["late 0"]
    with pytest.raises(LedgerError, match="no callback named"):
        ledger.settle_late_run(key, "never heard of", "why")
    tonight = new_night()
    driver.plan(tonight)
    driver.begin(key_of(tonight, 0))
    driver.ledger.park_submission(key_of(tonight, 0), "lost")
    with pytest.raises(LedgerError, match=f"already belongs to submission {key}"):
        ledger.attach(key_of(tonight, 0), Receipt(provider_run_id="late 1"), who="ann", why="fits")


def test_counts_that_do_not_add_up_keep_a_night_open(driver: LedgerDriver) -> None:
    night = finished(driver)
    with driver.ledger._database.write() as connection:
        row = nights.update().where(*of_night(night, nights))
        connection.execute(row.values(count_succeeded=9))
    assert why_open(driver, night) == "it counts 9 rows as succeeded, and has 2"


def test_a_ledger_in_a_schema_refuses_rows_of_its_own_closed_nights(postgres_url: str) -> None:
    url = make_url(postgres_url).update_query_dict({"schema": "books"})
    driver = LedgerDriver(url.render_as_string(hide_password=False))
    night = finished(driver)
    with driver.ledger._database.read() as connection:
        query = select(submissions).where(submissions.c.submission_key == key_of(night, 0))
        row = dict(connection.execute(query).mappings().one())
    assert close(driver, night)
    further = {**row, "submission_key": "new", "prompt_id": "new", "provider_run_id": None}
    with pytest.raises(LedgerError, match="closed"), driver.ledger._database.write() as connection:
        connection.execute(insert(submissions).values(further))
    driver.ledger.close()
