"""Every error this project raises, split by what the caller may do next."""

# FlowPipelinesError
#   ConfigurationError           fix the configuration, then run again
#     InvalidBatch               the same, with every problem's file, line and column
#     WrongLedger                this ledger must not buy for this batch
#       LedgerBehind             it is an older copy of itself; what it lacked was taken in
#     AccountMissing             the account that a submission was sent with is not at hand
#   ProviderError                something a provider said or failed to say
#     ProviderUnavailable        nothing was accepted; wait, then ask again
#       RateLimited              nothing was accepted; wait `retry_after_seconds`
#     AccountRejected            nothing was accepted; key, rights or credit must change first
#     RequestRejected            nothing was accepted; this request cannot succeed
#     NotFound                   what the request names does not exist there
#     KeyAlreadyKnown            the idempotency key was used before; look the run up
#     SubmitOutcomeUnknown       perhaps accepted, perhaps billed: reconcile, never resend
#     UnexpectedAnswer           not what the provider documents; nothing is known from it
#   TransferError                a download or its verification failed; repeat the transfer only
#     OutputDoubted              can hardly be the output; kept when nothing better comes
#     OutputRefused              this output must not be fetched or stored as it is
#       OutputTooLarge           larger than is stored of a file; it counts as settled
#   StorageError                 the bucket said no; what is already stored stays
#     StorageRefused             this request cannot succeed; repeating it cannot help
#     ObjectDiffers              another content is under this key; it stays
#   LedgerError
#     IllegalTransition          a bug or a race; nothing was changed
#       WaitsForAsk              planned anew since somebody asked to buy; not sent
#     LeaseLost                  somebody else works on this night now; stop
#     LedgerBusy                 locked for too long; try again later
#       LedgerAway               its database went away, and nothing was written
#       CommitUnknown            it went away while it wrote: look before doing it again
#         IntentInDoubt          of an intent, for which nothing was sent
#     SubmissionNotFound
#     NightClosed                its rows are in the bucket's archive; nothing of it is bought again
#   Stopped                      nobody's error: submitting must not go on
#     Paused                     `flow-pipelines pause` is in force
#     BudgetExceeded             the next submission would exceed a budget
#     NightStopped               its rows seem to share a fault; somebody has to ask anew

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flow_pipelines.redaction import redact


class FlowPipelinesError(Exception):
    """Base of all our errors; its text is redacted, whatever was put into it."""

    def __init__(self, message: str) -> None:
        """Keep `message` with every secret masked."""
        super().__init__(redact(message))


class ConfigurationError(FlowPipelinesError):
    """Something a person has to set, correct or provide before anything can be bought."""


@dataclass(frozen=True)
class Problem:
    """One fault in what a person wrote, and where."""

    message: str
    file: str
    """As the person named it: relative path or URI."""
    line: int | None = None
    """1-based; None where the format has no lines (Parquet, an upstream asset)."""
    column: str | None = None
    """Column name of a table, or 1-based column of a text file."""

    def __str__(self) -> str:
        """Return `file:line: column: message`, leaving out what is not known."""
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        if self.column:
            place += f":{self.column}" if self.column.isdigit() else f", column {self.column!r}"
        return f"{place}: {self.message}"


class InvalidBatch(ConfigurationError):
    """A batch that cannot be bought as written. Nothing was spent."""

    def __init__(self, batch: str, problems: Sequence[Problem], shown: int = 20) -> None:
        """List `problems` in one message: of each kind some, and about `shown` in all."""
        self.batch = batch
        self.problems = tuple(problems)
        lines = [f"Batch {batch!r} has {len(problems)} problem(s); nothing was submitted:"]
        super().__init__("\n".join([*lines, *_listed(problems, shown)]))


PARTICULARS = re.compile(r"'[^']*'|\"[^\"]*\"|[0-9]+")
"""What differs between two messages that say the same."""
_MOST_KINDS = 50


def _listed(problems: Sequence[Problem], shown: int) -> Iterator[str]:
    """Return lines that leave no kind of problem out: a thousand of one must not hide another."""
    if len(problems) <= shown:
        yield from (f"  {problem}" for problem in problems)
        return
    kinds: dict[str, list[Problem]] = {}
    for problem in problems:
        kinds.setdefault(PARTICULARS.sub("…", problem.message), []).append(problem)
    for alike in list(kinds.values())[:_MOST_KINDS]:
        examples = alike[: max(1, shown // len(kinds))]
        yield from (f"  {problem}" for problem in examples)
        if len(alike) > len(examples):
            yield f"    … and {len(alike) - len(examples)} more like that"
    if len(kinds) > _MOST_KINDS:
        yield f"  … and {len(kinds) - _MOST_KINDS} other kinds of problems"


class WrongLedger(ConfigurationError):
    """The bucket says that another ledger has bought for this batch or partition."""


class LedgerBehind(WrongLedger):
    """This ledger was an older copy of itself; what the journal knew of a night was taken in."""


class AccountMissing(ConfigurationError):
    """The account that submissions were sent with is not configured here, or not theirs now."""


class ProviderError(FlowPipelinesError):
    """What a provider said, or failed to say, about one call."""

    def __init__(  # noqa: PLR0913 - the facts that an on-call person needs, all optional
        self,
        message: str,
        *,
        provider: str,
        operation: str,
        status: int | None = None,
        code: str | None = None,
        fields: Sequence[Mapping[str, Any]] = (),
        request_id: str | None = None,
        provider_run_id: str | None = None,
        retry_after_seconds: float | None = None,
    ) -> None:
        """Keep the provider's own words (`code`, `message`, `fields`) beside ours."""
        self.provider = provider
        self.operation = operation
        self.status = status
        self.code = code
        self.fields = tuple(fields)
        self.request_id = request_id
        self.provider_run_id = provider_run_id
        self.retry_after_seconds = retry_after_seconds
        self.vendor_message = redact(message)
        facts = [
            f"HTTP {status}" if status is not None else None,
            f"code {code}" if code else None,
            f"provider run {provider_run_id}" if provider_run_id else None,
            f"request {request_id}" if request_id else None,
        ]
        known = ", ".join(fact for fact in facts if fact)
        super().__init__(f"{provider} {operation}: {message}" + (f" ({known})" if known else ""))


class ProviderUnavailable(ProviderError):
    """Nothing was accepted and nothing is billed; wait, then ask again."""


class RateLimited(ProviderUnavailable):
    """Nothing was accepted; ask again after `retry_after_seconds` (None: provider did not say)."""


class NoTurn(RateLimited):
    """Nothing was sent: the turns ahead of us under the account's rate limit are all taken."""


class AccountHeld(NoTurn):
    """Nothing was sent: the provider asked for silence, for longer than one may wait here."""


class AccountRejected(ProviderError):
    """Nothing was accepted: key, rights, credit or balance. Every further row would fare alike."""


_NODE = re.compile(r"\bnode\W{1,3}([\w:.-]+)", re.IGNORECASE)
_PLACE = ("node", "field", "type")
"""Members of a provider's `fields` that say where and what the fault is."""


class RequestRejected(ProviderError):
    """Nothing was accepted: this request is at fault, and repeating it cannot help."""

    @property
    def kind(self) -> str:
        """Return 16 hex digits that are the same for refusals that only quote other values.

        Status and code count, then the node or field and the type of each fault; where the
        provider names no type, its words do, without what they quote and without numbers.
        """
        faults = sorted(json.dumps(_fault(field), sort_keys=True) for field in self.fields)
        typed = any("type" in field for field in self.fields)
        words = "" if typed else PARTICULARS.sub("…", self.vendor_message)
        nodes = [] if typed else _NODE.findall(self.vendor_message)
        said = json.dumps([self.status, self.code, faults, nodes, words])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


def _fault(field: Mapping[str, Any]) -> Mapping[str, Any]:
    if "type" in field:
        return {name: str(field[name]) for name in _PLACE if name in field}
    return {
        name: str(value) if name in _PLACE else PARTICULARS.sub("…", str(value))
        for name, value in field.items()
    }


class NotFound(ProviderError):
    """The run, file or workflow named in the request does not exist at the provider."""


class KeyAlreadyKnown(ProviderError):
    """The idempotency key was used before: a run exists, look it up."""


class SubmitOutcomeUnknown(ProviderError):
    """Perhaps accepted, perhaps billed. Never send it again; reconcile."""


class UnexpectedAnswer(ProviderError):
    """The answer is not one the provider documents; nothing follows from it."""


class TransferError(FlowPipelinesError):
    """A download was cut, too long, too slow or not what it claimed; repeat the transfer only."""


class OutputDoubted(TransferError):
    """What arrived can hardly be the output; kept all the same when nothing better comes."""

    def __init__(self, message: str, *, sha256: str, lasting: bool) -> None:
        """Keep what came, and whether the same once more is not proof enough (`lasting`)."""
        self.sha256, self.lasting = sha256, lasting
        super().__init__(message)


class OutputRefused(TransferError):
    """This output must not be fetched or stored as it stands; repeating does not help."""


class OutputTooLarge(OutputRefused):
    """The output is larger than is stored of a file."""

    def __init__(self, message: str, *, max_bytes: int, is_told: bool) -> None:
        """Keep the limit, and whether the answer told its length (`is_told`) or just went on."""
        self.max_bytes, self.is_told = max_bytes, is_told
        super().__init__(message)


class StorageError(FlowPipelinesError):
    """The bucket refused or failed. Everything stored before is intact."""


class StorageRefused(StorageError):
    """The bucket refuses a request for good: the same one again would fare no better."""


class ObjectDiffers(StorageError):
    """An object with another content has this key. It is kept; what else is to store can be."""


class LedgerError(FlowPipelinesError):
    """The ledger refused or failed; it is unchanged."""


class IllegalTransition(LedgerError):
    """A state change that `model.states` does not allow; nothing was changed."""

    def __init__(self, submission_key: str, before: str, after: str) -> None:
        """Name the submission and both states."""
        self.submission_key, self.before, self.after = submission_key, before, after
        super().__init__(f"submission {submission_key}: {before} may not become {after}")


class WaitsForAsk(IllegalTransition):
    """The row was planned anew since this run, or whom it goes on for, asked to buy it."""


class SettledTooEarly(LedgerError):
    """The request of this submission may still be under way; the text says until when."""


class LeaseLost(LedgerError):
    """Somebody else holds this lease now; stop working on what it covers."""


class RunEnded(LedgerError):
    """The Dagster run was ended from outside, or found dead: its process does nothing more."""


class LedgerBusy(LedgerError):
    """The database stayed locked past its deadline; try again later."""


class LedgerAway(LedgerBusy):
    """Its database cannot be reached, or went away before anything was committed."""


class CommitUnknown(LedgerBusy):
    """Its database went away while it committed: all of it was written, or nothing."""


class IntentInDoubt(CommitUnknown):
    """An intent whose commit is unknown; `sent` is how it was written, if it was."""

    def __init__(self, message: str, sent: Any) -> None:
        """Keep the Submission as `begin_submission` would have returned it."""
        self.sent = sent
        super().__init__(message)


class SubmissionNotFound(LedgerError):
    """No submission of that key is in this ledger."""


class NightClosed(LedgerError):
    """The night was pruned: its rows are archived in the bucket, and nothing of it is bought."""


class NightOpen(LedgerError):
    """The night cannot be pruned; the text says what of it is not settled, or may still change."""


class Stopped(FlowPipelinesError):
    """Submitting must not go on; what is left stays planned or is skipped."""


class Paused(Stopped):
    """The stop switch is on; `flow-pipelines resume` turns it off."""


class BudgetExceeded(Stopped):
    """The next submission would exceed a budget."""

    def __init__(self, message: str, *, scope: str) -> None:
        """Say which budget: `scope` is `partition` or `day`."""
        self.scope = scope
        super().__init__(message)


class NightStopped(Stopped):
    """The rows of this night seem to share a fault: nothing is sent before somebody asks anew."""
