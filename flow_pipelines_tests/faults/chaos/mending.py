"""A person who finds a night refused: looks at what it came to, and mends its prompt table."""

from __future__ import annotations

from collections.abc import Callable

from flow_pipelines.ledger import RunLedger
from flow_pipelines.ledger.contract import REFUSED_ALIKE
from flow_pipelines.model import Night, NightRecord, SubmissionState
from flow_pipelines_tests.faults.chaos import tables
from flow_pipelines_tests.faults.chaos.state import ChaosState

STOPPED, MENDED, WRONG = "person finds stopped", "person mends", "WRONG"
"""Begin notes that the verdict counts."""


def needs_mending(record: NightRecord) -> bool:
    """Return whether rows of a night wait for a person who mends, plans and asks."""
    failed = SubmissionState.FAILED in record.counts
    return failed or record.held > 0 or record.stopped is not None


def mend(world: ChaosState, ledger: RunLedger, night: Night, note: Callable[[str], None]) -> None:
    """Let a person look at a night, and write its table anew if it is to blame."""
    path = world.table(night)
    record = ledger.night(night)
    if record is not None and record.stopped is not None:
        note(f"{STOPPED} {night}: {record.stopped}")
    problem = _sent_on(ledger, night)
    if tables.is_flawed(path):
        if problem:
            note(f"{WRONG} {night}: {problem}")
        note(f"{MENDED} {night}")
        tables.mend(path)


def _sent_on(ledger: RunLedger, night: Night) -> str:
    """Say what speaks against a stop after three equal refusals, where nothing was accepted.

    Each ask may be refused so often; an earlier one that came to fewer leaves them failed.
    """
    rows = ledger.submissions(night)
    record = ledger.night(night)
    if record is None or any(one.provider_run_id for one in rows):
        return ""
    refused = [one for one in rows if one.refusal is not None]
    failed = [one for one in refused if one.state is SubmissionState.FAILED]
    if len(refused) > REFUSED_ALIKE * record.asks:
        return f"{len(refused)} rows were refused alike in {record.asks} ask(s)"
    if len(failed) > (REFUSED_ALIKE - 1) * record.asks:
        return f"{len(failed)} of {len(refused)} refused rows are not planned again"
    return ""
