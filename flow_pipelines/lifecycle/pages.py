"""Yield a night's submissions page by page, so that a large night never has to fit in memory."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain

from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.contract import PAGE
from flow_pipelines.model import Night, Output, Submission, SubmissionState


def each_submission(
    ledger: RunLedger,
    night: Night,
    *,
    states: Collection[SubmissionState] | None = None,
    page: int = PAGE,
) -> Iterator[Submission]:
    """Return a night's submissions by row, copy and generation, as they are when they are read."""
    return chain.from_iterable(ledger.submission_pages(night, states=states, size=page))


def each_with_outputs(
    ledger: RunLedger, night: Night
) -> Iterator[tuple[Submission, Sequence[Output]]]:
    """Return each submission of a night with its outputs."""
    for page, outputs in pages_with_outputs(ledger, night):
        for submission in page:
            yield submission, outputs.get(submission.submission_key, ())


def pages_with_outputs(
    ledger: RunLedger, night: Night, page: int = PAGE
) -> Iterator[tuple[Sequence[Submission], Mapping[str, Sequence[Output]]]]:
    """Return a night page by page, each with its outputs by submission key."""
    for submissions in ledger.submission_pages(night, size=page):
        yield submissions, ledger.outputs_of([one.submission_key for one in submissions])
