"""Outputs that the release before named by their links: none is lost, and none comes twice."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import collect_night
from flow_pipelines.model import Night
from flow_pipelines_tests.before_0008 import BATCHES, UNCOLLECTED, WHOLE, Before

BATCH = BATCHES["comflowy"]


def ids(ledger: RunLedger, night: Night) -> dict[str, list[str]]:
    found = ledger.outputs(night)
    return {key: [output.output_id for output in outputs] for key, outputs in found.items()}


@pytest.mark.case(
    "a night of the release before waits to be collected; its outputs were named by their links",
    "each is stored once under its index of before, however its link is signed now",
    area="old ledger",
)
@pytest.mark.parametrize("sealed", [True, False], ids=["by sealed links", "by fresh links"])
@pytest.mark.parametrize("in_path", [True, False], ids=["signed in the path", "in the query"])
def test_outputs_named_by_links_are_stored_once(
    before_0008: Before, ledger: RunLedger, *, sealed: bool, in_path: bool
) -> None:
    before_0008.control.configure(comflowy_links_signed_in_path=in_path)
    night = Night(BATCH, UNCOLLECTED)
    before, ports = ids(ledger, night), before_0008.ports("comflowy", ledger)
    if not sealed:
        ports = replace(ports, seal=None)
    summary = collect_night(night, ports, owner="today")
    assert ids(ledger, night) == before
    assert (summary.without_image, summary.stored) == (0, sum(map(len, before.values())))
    assert summary.duplicate_images == 0


@pytest.mark.case(
    "a link signed in its path had made one more output, which was not stored for ever",
    "it is settled where its file is known under another output; a picture left out stays missing",
    area="old ledger",
)
@pytest.mark.parametrize("again", [True, False], ids=["a known file", "another file"])
def test_an_output_that_only_a_link_made_is_settled(before_0008: Before, *, again: bool) -> None:
    night = Night(BATCH, WHOLE)
    with closing(sqlite3.connect(before_0008.ledger_file)) as database, database:
        find = "SELECT submission_key FROM submissions WHERE batch = ? AND partition_key = ?"
        ((key, *_), *_) = database.execute(find, night)
        (last, name) = database.execute(
            "SELECT max(output_index), file_name FROM outputs WHERE submission_key = ?", (key,)
        ).fetchone()
        database.execute(
            "INSERT INTO outputs (submission_key, output_index, output_id, kind, attempts, problem,"
            " file_name) VALUES (?, ?, ?, 'file', 9, 'no link to it any more', ?)",
            (key, last + 1, "0123456789abcdef01234567", name if again else "another_00001_.png"),
        )
        database.execute(
            "UPDATE submissions SET collected_at = NULL WHERE submission_key = ?", (key,)
        )
        database.execute(
            "UPDATE nights SET uncollected = 1, collect_attempts = 8, attention = 0"
            " WHERE batch = ? AND partition_key = ?",
            night,
        )
    with before_0008.open_ledger() as ledger:
        assert night in [record.night for record in ledger.nights_to_do([BATCH])]
        ports = before_0008.ports("comflowy", ledger)
        summary = collect_night(night, ports, owner="today")
        record = ledger.night(night)
        assert record is not None
        missing = int(not again)
        assert (summary.without_image, record.uncollected) == (missing, missing)
        assert ledger.outputs(night)[key][-1].is_missing is not again
        assert summary.left_out == 0
