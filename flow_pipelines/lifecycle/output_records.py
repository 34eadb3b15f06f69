"""Record in the ledger which outputs are stored, one run at a time or many in one transaction.

A transaction costs about as much as carrying a small picture, and only one can write at a time.
So the last output of each run waits a moment for others to be noted with it. A process that dies
meanwhile leaves objects that the next collection finds in the bucket, the same, and notes then.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from dataclasses import dataclass

from flow_pipelines.lifecycle.ports import Workplace
from flow_pipelines.model import Night, Output, StoredFacts
from flow_pipelines.model.errors import LedgerError
from flow_pipelines.model.output import LOST

RECORD_SECONDS = 0.25
"""How long what is in the bucket may wait for its note in the ledger."""


@dataclass(frozen=True, kw_only=True)
class CompletedRun:
    """A run whose every output is in the bucket, the last one not yet noted."""

    submission_key: str
    last: tuple[Output, StoredFacts] | None
    """None: all of them were noted."""


class PendingWrite:
    """Holds back the ledger's record of a run's latest stored output, to be written with others."""

    def __init__(self, ports: Workplace, submission_key: str) -> None:
        """Hold nothing yet."""
        self._ports, self._key = ports, submission_key
        self._latest: tuple[Output, StoredFacts] | None = None

    def stored(self, output: Output, facts: StoredFacts) -> bool:
        """Take an output that is in the bucket; False: the one before it could not be noted."""
        noted = self.write_latest()
        self._latest = output, facts
        return noted

    def write_latest(self) -> bool:
        """Note what was held back; False: the ledger refused, and knows that it is not stored."""
        latest, self._latest = self._latest, None
        return latest is None or _note_output(self._ports, *latest)

    def completed_run(self) -> CompletedRun:
        """Return what is left to record of a run whose outputs are all in the bucket."""
        return CompletedRun(submission_key=self._key, last=self._latest)


def record_problem(
    ports: Workplace,
    output: Output,
    problem: str,
    *,
    doubted: bool = False,
    settled_above: int | None = None,
) -> None:
    """Note why an output is not stored; of one that was stored before, that it is lost.

    See `RunLedger.record_output_problem` for the rest.
    """
    if (output.problem or "").startswith(LOST) and not problem.startswith(LOST):
        problem = f"{LOST}{problem}"
    ports.ledger.record_output_problem(
        output.submission_key,
        output.output_index,
        problem,
        doubted=doubted,
        settled_above=settled_above,
    )
    ports.log(f"{output.submission_key} output {output.output_index} is not stored: {problem}")


def record_completed(
    ports: Workplace, night: Night, futures: Sequence[Future[CompletedRun | None]]
) -> None:
    """Record runs as they complete; after the first error begin no more, and raise it.

    Completed runs are recorded even after an error or an interrupt: their links may expire.
    """
    pending, failed = set(futures), None
    try:
        while pending:
            done, pending = wait(pending, timeout=RECORD_SECONDS, return_when=FIRST_EXCEPTION)
            ended = [future for future in futures if future in done and not future.cancelled()]
            failed = failed or next((e for future in ended if (e := future.exception())), None)
            if failed is not None:
                _cancel(pending)
            _note(ports, night, _completed_runs(ended))
    except LedgerError:
        _cancel(pending)
        raise
    except BaseException:
        _cancel(pending)
        # The pool waits for what is in transfer anyway; noting again changes nothing.
        _note(ports, night, _completed_runs(wait(futures).done))
        raise
    if failed is not None:
        raise failed


def _completed_runs(ended: Iterable[Future[CompletedRun | None]]) -> Sequence[CompletedRun]:
    results = (f.result() for f in ended if not f.cancelled() and f.exception() is None)
    return [run for run in results if run is not None]


def _cancel(futures: set[Future[CompletedRun | None]]) -> None:
    for future in futures:
        future.cancel()


def _note(ports: Workplace, night: Night, runs: Sequence[CompletedRun]) -> None:
    """Note many at once; where the ledger refuses, each alone, so that one stops no other."""
    if not runs:
        return
    latest = {run.submission_key: _by_index(run) for run in runs}
    try:
        ports.ledger.record_collected(night, latest)
    except LedgerError:
        for run in runs:
            _note_run(ports, run)


def _by_index(run: CompletedRun) -> dict[int, StoredFacts]:
    return {} if run.last is None else {run.last[0].output_index: run.last[1]}


def _note_run(ports: Workplace, run: CompletedRun) -> None:
    if run.last is not None and not _note_output(ports, *run.last):
        return
    try:
        ports.ledger.mark_collected(run.submission_key)
    except LedgerError as error:
        # The fresh answer named one more output: the next collection fetches it.
        ports.log(f"{run.submission_key} is not collected whole yet: {error}")


def _note_output(ports: Workplace, output: Output, facts: StoredFacts) -> bool:
    try:
        ports.ledger.record_stored(output.submission_key, output.output_index, facts)
    except LedgerError as error:
        record_problem(ports, output, str(error))
        return False
    return True
