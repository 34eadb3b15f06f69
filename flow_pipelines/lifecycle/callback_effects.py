"""What a callback changes: when to ask next, or whose a run is. Never a state of a run.

| the submission | and the callback | then |
|---|---|---|
| in flight | says that its run ended | polled now |
| without a run, whatever its state | names a run that nobody has | attached: the run is its own |
| submitting | names a run that nobody has | that is its receipt, before the POST is answered |
| has a run | names another | kept as a second run, for people: both may be billed |
| without a run | names one that another submission has | refused, and told to people |
| without a run | names one that a person detached | left to a person |
| of a night that was pruned | names a run, or says that its run ended | kept with the night |

A callback address has the id of the ledger that wrote the intent; callbacks for other ledgers are
ignored. An address from a release without ledger ids attaches a run only if the row's last intent
is from such a release, too. What a callback says of state and outputs is not read: a poll does.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from flow_pipelines.clock import Clock
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.callback_addresses import read_name
from flow_pipelines.model import IN_FLIGHT, Receipt, Submission, SubmissionState
from flow_pipelines.model.errors import IllegalTransition, SubmissionNotFound
from flow_pipelines.provider.callbacks import Callback

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


class CallbackEffects:
    """Writes what providers tell by themselves. Safe to share, to repeat and to reorder."""

    def __init__(self, ledger: RunLedger, clock: Clock, log: Callable[[str], None]) -> None:
        """Take the ledger; `log` gets a line for people, never a secret."""
        self._ledger, self._clock, self._log = ledger, clock, log

    def take_in(self, provider: str, name: str, callback: Callback) -> Effect:
        """Do what a verified callback allows; `name` is what its address calls the submission.

        Spends nothing. Raises: LedgerError.
        """
        if callback.provider_run_id is None and not callback.ended:
            return Effect.NOTHING
        submission_key, ledger_id = read_name(name)
        try:
            submission = self._ledger.submission(submission_key)
        except SubmissionNotFound:
            return self._of_closed_night(provider, submission_key, ledger_id, callback)
        if submission.provider != provider or not self._may_be_ours(submission, ledger_id):
            return Effect.UNKNOWN
        if callback.provider_run_id in {None, submission.provider_run_id}:
            return self._ask_soon(submission, callback)
        if submission.provider_run_id is None:
            return self._claim(submission, callback.provider_run_id, callback, ledger_id)
        return self._second(submission, callback.provider_run_id)

    def _of_closed_night(
        self, provider: str, key: str, ledger_id: str | None, callback: Callback
    ) -> Effect:
        """Keep what is told of a row that was pruned; nothing of its night changes."""
        known = self._ledger.closed_submission(key)
        if known is None or (known.submission_key, known.provider) != (key, provider):
            return Effect.UNKNOWN
        night = self._ledger.closed_night(known.night)
        if night is None or (ledger_id is not None and ledger_id not in night.ledger_ids):
            return Effect.UNKNOWN
        run_id = callback.provider_run_id
        if run_id is not None and len(run_id) > _LONGEST_ID:
            return Effect.CONFLICT
        late = self._ledger.note_late_run(key, run_id)
        if late is None or late.is_its_own:
            return Effect.NOTHING
        self._log(
            f"{key} is of {known.night}, which is closed, with provider run "
            f"{known.provider_run_id or 'none'}, but a callback for it names {run_id!r}: it is "
            f"kept. If both exist, both may be billed: `flow-pipelines resolve {key}`"
        )
        return Effect.CONFLICT

    def _may_be_ours(self, submission: Submission, ledger_id: str | None) -> bool:
        """Return whether this ledger may have given the address away."""
        if ledger_id is None:
            # It predates ledger ids: a row whose only intent has one never had such an address.
            return submission.intent_ledger_id is None or submission.intents > 1
        return ledger_id in {submission.intent_ledger_id, self._ledger.ledger_id}

    def _ask_soon(self, submission: Submission, callback: Callback) -> Effect:
        if not callback.ended or submission.state not in IN_FLIGHT:
            return Effect.NOTHING
        return Effect.DUE if self._ledger.mark_due(submission.submission_key) else Effect.LATER

    def _claim(
        self, submission: Submission, run_id: str, callback: Callback, ledger_id: str | None
    ) -> Effect:
        """Attach a run that no submission has to this submission."""
        if ledger_id is None and not _is_old(submission):
            return self._conflict(submission, run_id)
        if len(run_id) > _LONGEST_ID or self._ledger.known_runs(submission.provider, [run_id]):
            return self._conflict(submission, run_id)
        settled = self._ledger.settlements(submission.submission_key)
        if any((one.action, one.provider_run_id) == ("detach", run_id) for one in settled):
            return self._left_to_people(submission, run_id)
        if settled and submission.state is SubmissionState.SUBMITTING:
            return Effect.LATER  # it may be the run of an earlier intent: its answer decides
        try:
            self._attach(submission, Receipt(provider_run_id=run_id), callback)
        except IllegalTransition:
            return Effect.LATER
        self._log(f"{submission.submission_key}: is provider run {run_id}, says its callback")
        return Effect.ATTACHED

    def _attach(self, submission: Submission, receipt: Receipt, callback: Callback) -> None:
        key = submission.submission_key
        if submission.state is SubmissionState.SUBMITTING:
            self._ledger.record_receipt(key, receipt, self._clock.now(), sent=submission)
            return
        self._ledger.attach_proven(key, receipt, who="callback", why=_event(callback))

    def _second(self, submission: Submission, run_id: str) -> Effect:
        if len(run_id) <= _LONGEST_ID:
            self._ledger.note_second_run(submission.submission_key, run_id)
        return self._conflict(submission, run_id)

    def _conflict(self, submission: Submission, run_id: str) -> Effect:
        has = submission.provider_run_id or "none that the callback may give it"
        self._log(
            f"{submission.submission_key} is {submission.state.value} with provider run {has}, but "
            f"a callback for it names {run_id[:_LONGEST_ID]!r}: nothing was changed. If both "
            "exist, both may be billed"
        )
        return Effect.CONFLICT

    def _left_to_people(self, submission: Submission, run_id: str) -> Effect:
        key = submission.submission_key
        self._log(
            f"{key}: its callback names {run_id!r}, which a person detached. If it is its run "
            f"after all, `flow-pipelines resolve {key} --attach {run_id}` says so"
        )
        return Effect.NOTHING


def _is_old(submission: Submission) -> bool:
    """Return whether the last intent was written before addresses held a ledger."""
    return submission.intent_ledger_id is None and submission.intents > 0


def _event(callback: Callback) -> str:
    return f"its callback, event {callback.event_id}" if callback.event_id else "its callback"
