"""Sealed links: kept with an output until it is stored or could not be, and shown nowhere else."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import event

from flow_pipelines.model import CostBasis, Night, OutputRef
from flow_pipelines.storage.tables import manifest_table, runs_table
from flow_pipelines_tests.conformance.ledger.ledger_driver import (
    LedgerDriver,
    S,
    facts,
    key_of,
    new_night,
    refs,
    report,
)

SEALED = {"a": "sealed a", "b": "sealed b"}


def ended(driver: LedgerDriver, night: Night, *outputs: OutputRef, **sealed: str) -> str:
    """Bring a run to its end, with outputs and links to them; give its key."""
    driver.plan(night)
    key = key_of(night, 0)
    driver.submit(key)
    told(driver, key, *outputs, **sealed)
    return key


def told(driver: LedgerDriver, key: str, *outputs: OutputRef, **sealed: str) -> None:
    driver.ledger.record_poll(
        key,
        report(f"run {key}", S.SUCCEEDED, outputs=outputs),
        next_poll_at=None,
        cost_usd=None,
        cost_basis=CostBasis.UNKNOWN,
        sealed_links=sealed,
    )


def kept(driver: LedgerDriver, key: str) -> list[str | None]:
    night = driver.ledger.submission(key).night
    return [output.sealed_link for output in driver.ledger.outputs(night)[key]]


def test_links_are_kept_with_their_outputs_by_id(driver: LedgerDriver) -> None:
    key = ended(driver, new_night(), *refs("a", "c", "b"), **SEALED, unknown="sealed else")

    assert kept(driver, key) == ["sealed a", None, "sealed b"]
    assert kept(driver, ended(driver, new_night(), *refs("a"))) == [None]


def test_a_link_of_a_strange_id_is_kept_with_the_output_that_the_ledger_makes_of_it(
    driver: LedgerDriver,
) -> None:
    strange = "a\x00\ud800"
    key = ended(driver, new_night(), *refs(strange, "a\ufffd?"), **{strange: "first", "a": "x"})

    assert kept(driver, key) == ["first"]


def test_a_link_is_forgotten_once_its_output_is_stored_and_no_other(driver: LedgerDriver) -> None:
    key = ended(driver, new_night(), *refs("a", "b"), **SEALED)

    driver.ledger.record_stored(key, 0, facts())

    assert kept(driver, key) == [None, "sealed b"]


def test_a_link_outlasts_a_problem_it_may_open_another_day(driver: LedgerDriver) -> None:
    key = ended(driver, new_night(), *refs("a", "b"), **SEALED)

    driver.ledger.record_output_problem(key, 0, "cut")

    assert kept(driver, key) == ["sealed a", "sealed b"]


def test_a_run_that_is_collected_keeps_no_link(driver: LedgerDriver) -> None:
    night = new_night()
    key = ended(driver, night, *refs("a", "b"), **SEALED)

    driver.ledger.record_collected(night, {key: {0: facts("a"), 1: facts("b")}})

    assert kept(driver, key) == [None, None]


def test_a_later_report_brings_links_of_new_outputs_only(driver: LedgerDriver) -> None:
    key = ended(driver, new_night(), *refs("a"), a="sealed a")
    driver.ledger.record_stored(key, 0, facts())

    told(driver, key, *refs("a", "b"), a="newer", b="sealed b")

    assert kept(driver, key) == [None, "sealed b"]


def test_a_link_takes_no_statement_of_its_own(driver: LedgerDriver) -> None:
    def statements(**sealed: str) -> int:
        night, seen = new_night(), list[str]()
        driver.plan(night)
        driver.submit(key_of(night, 0))
        engine = driver.ledger._database.engine

        def note(_c: object, _cursor: object, statement: str, *_more: object) -> None:
            seen.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        told(driver, key_of(night, 0), *refs("a", "b"), **sealed)
        event.remove(engine, "before_cursor_execute", note)
        return len(seen)

    assert statements(**SEALED) == statements() > 0


def test_a_link_is_in_no_submission_table_or_repr(driver: LedgerDriver) -> None:
    night = new_night()
    key = ended(driver, night, *refs("a"), a="sealed a")
    outputs = driver.ledger.outputs(night)
    [stored] = [replace(one, stored=facts(), stored_at=driver.clock.now()) for one in outputs[key]]
    assert stored.sealed_link == "sealed a"

    submissions = driver.ledger.submissions(night)
    shown = [repr(submissions), repr(stored), repr(driver.ledger.night(night))]
    for found in (outputs, {key: [stored]}):
        shown.append(repr(runs_table(submissions, found).to_pylist()))
        shown.append(repr(manifest_table(submissions, found).to_pylist()))

    assert "images/content.png" in shown[-1]
    assert not any("sealed" in text for text in shown)
