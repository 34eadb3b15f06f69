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

Every cell is a test: a night of one row is bought at the provider's stand-in, one call goes wrong
for as long as the fault lasts, then the fault is lifted and the work goes on. `make docs` writes
this page from the expectations of those tests (`flow_pipelines_tests/faults/alphabet`).

A cell says what becomes of the submission under the fault, then, after a semicolon, what happens
once the fault is over, then what the stand-in billed in all. *By itself* means that the sensor
does it. Where nothing else is said, every picture is in the bucket in the end, each exactly as it
was drawn. No submission is ever billed twice, no key is in a log or in the ledger, and no cell is
left empty: "—" is what cannot happen, with the reason.
"""
_CALLS = {
    Call.WORKFLOW: "Asking for the workflow's details",
    Call.TOKEN: "Asking for a token",
    Call.SUBMIT: "Submitting, which is paid",
    Call.POLL: "Polling, and what a run says of itself",
    Call.DOWNLOAD: "Downloading an output",
}
_UNDER = {
    None: "nothing is planned or sent",
    S.PLANNED: "planned again",
    S.FAILED: "failed",
    S.UNRESOLVED: "unresolved",
    S.SUBMITTED: "sent again with a new token",
    S.RUNNING: "postponed",
    S.SUCCEEDED: "missing, with the reason",
}
_AFTER = {
    (None, Person.ASKS_AGAIN): "planned and sent when a person asks again",
    (S.PLANNED, Person.NOBODY): "sent later by itself",
    (S.PLANNED, Person.ASKS_AGAIN): "sent when a person asks again",
    (S.UNRESOLVED, Person.NOBODY): "found by itself",
    (S.UNRESOLVED, Person.SETTLES): "until a person settles it",
    (S.RUNNING, Person.NOBODY): "asked again by itself",
    (S.SUCCEEDED, Person.NOBODY): "fetched again by itself",
}


def in_words(found: Cell) -> str:
    """Say what a cell means."""
    if isinstance(found, Never):
        return f"— {found.why}"
    bills = {0: "no bill", 1: "1 bill"}[found.bills]
    return f"{'; '.join(_steps(found))}: {bills}{'' if found.pictures else ', no picture'}"


def _steps(found: Outcome) -> Iterator[str]:
    under = "stored" if found.stored else _UNDER[found.after]
    yield f"{under}, account stopped" if found.account_stopped else under
    if found.after is S.RUNNING and found.end is S.FAILED:
        yield "given up after 7 days"
    elif not found.stored and (found.after, found.person) in _AFTER:
        yield _AFTER[found.after, found.person]


def document() -> str:
    """Give the whole page."""
    return "\n".join([_HEAD, *(line for call in Call for line in _table(call))])


def _table(call: Call) -> Iterator[str]:
    names = provider_names()
    yield f"## {_CALLS[call]}\n"
    yield _line("fault", *(profile(name).title for name in names))
    yield _line(*["---"] * (len(names) + 1))
    for fault in ROWS[call]:
        yield _line(fault.title, *(in_words(cell(name, call, fault)) for name in names))
    yield ""


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    FILE.write_text(document())
