"""Writes docs/FAULTS.md from the very rows that the tests hold the code to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flow_pipelines.model import SubmissionState as S
from flow_pipelines.providers import profile, provider_names
from flow_pipelines_tests.faults.alphabet.faults import ROWS
from flow_pipelines_tests.faults.alphabet.outcomes import cell
from flow_pipelines_tests.faults.alphabet.vocabulary import Call, Cell, Never, Outcome, Person

FILE = Path(__file__).parents[3] / "docs" / "FAULTS.md"
_HEAD = """\
# What each fault leads to

Every fault in a first column is a test for every provider beside it: a night of one row is bought
at the provider's stand-in, one call goes wrong for as long as the fault lasts, then the fault is
lifted and the work goes on. `make docs` writes this page from what those tests expect
(`flow_pipelines_tests/faults/alphabet`); faults with the same outcome share a line.

A cell says what becomes of the submission under the fault, then what happens once the fault is
over. In the end the stand-in has billed one run, and every picture of it is in the bucket, byte for
byte, and no other. Where that is not so, the cell ends with the bill and *no picture*.

- *planned again*: it is proven that nothing was accepted.
- *unresolved*: nothing is proven; it is not sent again. *Settled by itself*: found in the
  provider's list, or, at FLORA, sent again under its key. *Settled by a person*: `flow-pipelines
  resolve`.
- *account stopped*: no other row is bought either; a key, a right or a balance is to be mended.
- *by itself*: a sensor sees to it. *On request*: when a person materializes the asset again.
- —: cannot happen, with the reason.

Under every one of them no submission is billed twice, what may have been accepted is not sent again
(but for FLORA's copy under its key), and `Retry-After` is kept to. No key or token is in a log
line, in the ledger or shown to another host, no link that opens a picture is in the ledger, and no
name that a provider gives is part of a path in the bucket.
"""
_CALLS = {
    Call.WORKFLOW: "Asking for the workflow's details",
    Call.TOKEN: "Asking for a token",
    Call.SUBMIT: "Submitting, which is paid",
    Call.POLL: "Polling, and what a run says of itself",
    Call.DOWNLOAD: "Downloading an output",
    Call.CANCEL: "Canceling",
}
_UNDER = {
    None: "nothing is planned or sent",
    S.PLANNED: "planned again",
    S.FAILED: "failed",
    S.UNRESOLVED: "unresolved",
    S.SUBMITTED: "sent again with a new token",
    S.RUNNING: "postponed",
    S.SUCCEEDED: "missing, with the reason",
    S.CANCELED: "canceled",
}
_AFTER = {
    (None, Person.ASKS_AGAIN): "planned and sent on request",
    (S.PLANNED, Person.NOBODY): "sent later by itself",
    (S.PLANNED, Person.ASKS_AGAIN): "sent on request",
    (S.UNRESOLVED, Person.NOBODY): "settled by itself",
    (S.UNRESOLVED, Person.SETTLES): "settled by a person",
    (S.SUCCEEDED, Person.NOBODY): "fetched again by itself",
    (S.SUCCEEDED, Person.ASKS_AGAIN): "fetched again on request",
}
_FROM_RUNNING = {
    S.SUCCEEDED: "asked again by itself",
    S.FAILED: "given up after 7 days",
    S.CANCELED: "found canceled by itself",
}


def in_words(call: Call, found: Cell) -> str:
    """Say what a cell means."""
    if isinstance(found, Never):
        return f"— {found.why}"
    steps = "; ".join(_steps(call, found))
    if found.bills == 1 and found.pictures:
        return steps
    bills = {0: "no bill", 1: "1 bill"}[found.bills]
    return f"{steps}: {bills}{'' if found.pictures else ', no picture'}"


def _steps(call: Call, found: Outcome) -> Iterator[str]:
    under = "stored" if found.stored else _UNDER[found.after]
    if found.kept:
        under = "kept as it came, and said so"
    if call is Call.CANCEL and found.after is S.RUNNING:
        under = "goes on"
    yield f"{under}, account stopped" if found.account_stopped else under
    if found.after is S.RUNNING:
        yield _FROM_RUNNING[found.end]
    elif not found.stored and (found.after, found.person) in _AFTER:
        yield _AFTER[found.after, found.person]


def document() -> str:
    """Return the whole page."""
    return "\n".join([_HEAD, *(line for call in Call for line in _table(call))])


def _table(call: Call) -> Iterator[str]:
    names = provider_names()
    yield f"## {_CALLS[call]}\n"
    yield _line("fault", *(profile(name).title for name in names))
    yield _line(*["---"] * (len(names) + 1))
    alike: dict[tuple[str, ...], list[str]] = {}
    for fault in ROWS[call]:
        cells = tuple(in_words(call, cell(name, call, fault)) for name in names)
        alike.setdefault(cells, []).append(fault.title)
    for cells, titles in alike.items():
        yield _line("<br>".join(titles), *cells)
    yield ""


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    FILE.write_text(document())
