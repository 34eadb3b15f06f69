"""What a callback changes: when to ask next, or whose a run is. Never a state of a run.

| the submission is | and the callback | then |
|---|---|---|
| in flight | says that its run ended | asked after now |
| unresolved | names a run that nobody has | attached: the run is this submission's |
| submitting | names a run that nobody has | that is its receipt, before the POST is answered |
| anything else with that run | | nothing |
| anything | names another run than the ledger has | refused, and told to people |

Whatever it says of a run's state and outputs is left unread: the next poll asks for the truth.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from flow_pipelines.clock import Clock
from flow_pipelines.ledger.contract import RunLedger
from flow_pipelines.model import IN_FLIGHT, Receipt, Submission, SubmissionState
from flow_pipelines.model.errors import IllegalTransition, SubmissionNotFound
from flow_pipelines.provider import Callback

_LONGEST_ID = 200


class Effect(Enum):
    """What came of a callback."""

    NOTHING = auto()
    DUE = auto()
    ATTACHED = auto()
    LATER = auto()
    """Somebody works on it this moment: tell it again."""
    CONFLICT = auto()
    """The ledger knows it differently."""
    UNKNOWN = auto()
    """There is no such submission."""


class News:
    """Takes in what providers tell by themselves. Safe to share, to repeat and to reorder."""

    def __init__(self, ledger: RunLedger, clock: Clock, log: Callable[[str], None]) -> None:
        """Take the ledger; `log` gets a line for people, never a secret."""
        self._ledger, self._clock, self._log = ledger, clock, log

    def take_in(self, provider: str, submission_key: str, callback: Callback) -> Effect:
        """Do what a verified callback allows. Spends nothing. Raises: LedgerError."""
        if callback.provider_run_id is None and not callback.ended:
            return Effect.NOTHING
        try:
            submission = self._ledger.submission(submission_key)
        except SubmissionNotFound:
            return Effect.UNKNOWN
        if submission.provider != provider:
            return Effect.UNKNOWN
        if callback.provider_run_id in {None, submission.provider_run_id}:
            return self._ask_soon(submission, callback)
        if submission.provider_run_id is None:
            return self._claim(submission, callback.provider_run_id, callback)
        return self._conflict(submission, callback.provider_run_id)

    def _ask_soon(self, submission: Submission, callback: Callback) -> Effect:
        if not callback.ended or submission.state not in IN_FLIGHT:
            return Effect.NOTHING
        return Effect.DUE if self._ledger.mark_due(submission.submission_key) else Effect.LATER

    def _claim(self, submission: Submission, run_id: str, callback: Callback) -> Effect:
        """Let a run that nobody has be this submission's."""
        key, state = submission.submission_key, submission.state
        if state not in {SubmissionState.SUBMITTING, SubmissionState.UNRESOLVED}:
            return self._conflict(submission, run_id)
        if len(run_id) > _LONGEST_ID or self._ledger.known_runs(submission.provider, [run_id]):
            return self._conflict(submission, run_id)
        receipt = Receipt(provider_run_id=run_id)
        try:
            if state is SubmissionState.UNRESOLVED:
                self._ledger.attach(key, receipt, who="callback", why=_event(callback))
            elif self._ledger.settlements(key):
                return Effect.LATER  # it may be the run of an earlier intent: its answer decides
            else:
                self._ledger.record_receipt(key, receipt, self._clock.now(), sent=submission)
        except IllegalTransition:
            return Effect.LATER
        self._log(f"{key}: is provider run {run_id}, says its callback")
        return Effect.ATTACHED

    def _conflict(self, submission: Submission, run_id: str) -> Effect:
        has = submission.provider_run_id or "none that the callback may give it"
        self._log(
            f"{submission.submission_key} is {submission.state.value} with provider run {has}, but "
            f"a callback for it names {run_id[:_LONGEST_ID]!r}: nothing was changed. If both "
            "exist, both may be billed"
        )
        return Effect.CONFLICT


def _event(callback: Callback) -> str:
    return f"its callback, event {callback.event_id}" if callback.event_id else "its callback"
