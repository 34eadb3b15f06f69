"""Notes in the ledger of what reached the bucket: run by run, or of many runs at a time.

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

LOST = "lost: "
"""How the problem begins of an output that was stored, is not there any more, and cannot be stored
again so far."""
RECORD_SECONDS = 0.25
"""How long what is in the bucket may wait for its note in the ledger."""


@dataclass(frozen=True, kw_only=True)
class CompletedRun:
    """A run whose every output is in the bucket, the last one not yet noted."""

    submission_key: str
    last: tuple[Output, StoredFacts] | None
    """None: all of them were noted."""


class PendingWrite:
    """What one collection carries of one run; it holds back the note of the latest output."""

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

    def whole(self) -> CompletedRun:
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
    """Wait for all, and note what they carried; after the first error begin no more, and raise it.

    What ended whole is noted also then, and when somebody interrupts: a link may be gone later.
    """
    pending, failed = set(futures), None
    try:
        while pending:
            done, pending = wait(pending, timeout=RECORD_SECONDS, return_when=FIRST_EXCEPTION)
            ended = [future for future in futures if future in done and not future.cancelled()]
            failed = failed or next((e for future in ended if (e := future.exception())), None)
            if failed is not None:
                _cancel(pending)
            _note(ports, night, _whole(ended))
    except LedgerError:
        _cancel(pending)
        raise
    except BaseException:
        _cancel(pending)
        # The pool waits for what is in transfer anyway; noting again changes nothing.
        _note(ports, night, _whole(wait(futures).done))
        raise
    if failed is not None:
        raise failed


def _whole(ended: Iterable[Future[CompletedRun | None]]) -> Sequence[CompletedRun]:
    told = (f.result() for f in ended if not f.cancelled() and f.exception() is None)
    return [one for one in told if one is not None]


def _cancel(futures: set[Future[CompletedRun | None]]) -> None:
    for future in futures:
        future.cancel()


def _note(ports: Workplace, night: Night, carried: Sequence[CompletedRun]) -> None:
    """Note many at once; where the ledger refuses, each alone, so that one stops no other."""
    if not carried:
        return
    found = {one.submission_key: _by_index(one) for one in carried}
    try:
        ports.ledger.record_collected(night, found)
    except LedgerError:
        for one in carried:
            _note_run(ports, one)


def _by_index(carried: CompletedRun) -> dict[int, StoredFacts]:
    return {} if carried.last is None else {carried.last[0].output_index: carried.last[1]}


def _note_run(ports: Workplace, carried: CompletedRun) -> None:
    if carried.last is not None and not _note_output(ports, *carried.last):
        return
    try:
        ports.ledger.mark_collected(carried.submission_key)
    except LedgerError as error:
        # The fresh answer named one more output: the next collection fetches it.
        ports.log(f"{carried.submission_key} is not collected whole yet: {error}")


def _note_output(ports: Workplace, output: Output, facts: StoredFacts) -> bool:
    try:
        ports.ledger.record_stored(output.submission_key, output.output_index, facts)
    except LedgerError as error:
        record_problem(ports, output, str(error))
        return False
    return True
