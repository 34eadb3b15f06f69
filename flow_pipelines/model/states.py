"""The states of a submission and the only transitions between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from flow_pipelines.model.errors import IllegalTransition


class SubmissionState(StrEnum):
    """Where a submission stands. Every submission is in exactly one of these."""

    PLANNED = "planned"
    """Nothing was sent, or what was sent is proven not to have been accepted. Free of charge."""
    SKIPPED = "skipped"
    """A budget left it out; the reason stands beside it. Free of charge."""
    SUBMITTING = "submitting"
    """The intent is written; the POST may or may not be under way. Never resent from here."""
    UNRESOLVED = "unresolved"
    """The POST's outcome is unknown: perhaps there is a provider run, perhaps it is billed."""
    SUBMITTED = "submitted"
    """The provider gave a run id, and has not said more yet."""
    QUEUED = "queued"
    """The provider says that the run waits for its turn."""
    RUNNING = "running"
    """The provider says that the run is being executed."""
    SUCCEEDED = "succeeded"
    """The provider finished the run. Its outputs may still have to be stored."""
    FAILED = "failed"
    """The provider run failed, or the provider refused this very row."""
    CANCELED = "canceled"
    """Canceled before it was sent, or at the provider."""


_S = SubmissionState

IN_FLIGHT = frozenset({_S.SUBMITTED, _S.QUEUED, _S.RUNNING})
"""States in which a provider run exists and has not ended as far as we know: these are polled."""

ENDED = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELED, _S.SKIPPED})
"""States that nothing follows by itself: only a regeneration, proof of a run, or a person."""

OUTCOME_UNKNOWN = frozenset({_S.SUBMITTING, _S.UNRESOLVED})
"""States in which a POST may have been accepted without a receipt."""

AT_PROVIDER = IN_FLIGHT | {_S.UNRESOLVED}
"""States in which a provider run exists or may exist: it is polled, or searched for."""

UNDER_WAY = IN_FLIGHT | {_S.PLANNED, _S.SUBMITTING}
"""States that a running night leaves by itself."""

UNFINISHED = UNDER_WAY | {_S.UNRESOLVED}
"""States that keep a night on the list of those with something to do."""

NOT_SENT = frozenset({_S.PLANNED, _S.SKIPPED, _S.CANCELED})
"""States that do not count as sent; a run that was canceled at its provider is in them, too."""

WITHOUT_RESULT = ENDED - {_S.SUCCEEDED}
"""States of rows that ended without a result: `regenerate: failed` plans these again."""

CALLBACK_ATTACHES = frozenset({_S.PLANNED, _S.SKIPPED, _S.CANCELED, _S.FAILED, _S.UNRESOLVED})
"""States in which a callback with the submission's token attaches its run: all in which the row
could be bought again."""

_AFTER_SENT = frozenset({_S.SUCCEEDED, _S.FAILED, _S.CANCELED, _S.UNRESOLVED})
"""`unresolved` again: a person detached the run, or the journal knows of a later intent."""

TRANSITIONS: Mapping[SubmissionState, frozenset[SubmissionState]] = {
    # A callback with its token proves a run, and the journal proves an intent, that this ledger
    # knows nothing of: both lead out of every state in which a row could be bought again.
    _S.PLANNED: frozenset({_S.SUBMITTING, _S.SKIPPED, _S.CANCELED, _S.SUBMITTED, _S.UNRESOLVED}),
    _S.SUBMITTING: frozenset({_S.SUBMITTED, _S.PLANNED, _S.FAILED, _S.UNRESOLVED}),
    _S.UNRESOLVED: frozenset({_S.SUBMITTED, _S.PLANNED, _S.FAILED}),
    _S.SUBMITTED: frozenset({_S.QUEUED, _S.RUNNING}) | _AFTER_SENT,
    _S.QUEUED: frozenset({_S.RUNNING}) | _AFTER_SENT,
    _S.RUNNING: _AFTER_SENT,
    _S.SUCCEEDED: frozenset({_S.UNRESOLVED}),
    _S.FAILED: frozenset({_S.SUBMITTED, _S.PLANNED, _S.UNRESOLVED}),
    _S.CANCELED: frozenset({_S.SUBMITTED, _S.UNRESOLVED}),
    _S.SKIPPED: frozenset({_S.SUBMITTED, _S.UNRESOLVED}),
}
"""The allowed transitions; nothing else is."""


def check_transition(submission_key: str, before: SubmissionState, after: SubmissionState) -> None:
    """Raise `IllegalTransition` unless `before` may be followed by `after`."""
    if after not in TRANSITIONS[before]:
        raise IllegalTransition(submission_key, before, after)
