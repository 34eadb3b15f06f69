"""Buy a night: write intent and journal entry, POST, record the answer, one row at a time.

The order of the steps is the promise: a turn under the rate limit first, so that nothing waits
between intent and POST; then the intent with its reservation, in one transaction that also checks
lease, stop switch and budgets; then its entry in the bucket's journal; then the POST, exactly once;
then what its answer proves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from decimal import Decimal
from itertools import chain, islice

from flow_pipelines.ledger.contract import PAGE
from flow_pipelines.ledger.database import chunks
from flow_pipelines.lifecycle.accounts import check_identity, note_budget, stop_if_rejected
from flow_pipelines.lifecycle.candidates import candidates, in_words
from flow_pipelines.lifecycle.estimate import price_of
from flow_pipelines.lifecycle.inputs import with_inputs
from flow_pipelines.lifecycle.journal import Journal
from flow_pipelines.lifecycle.ownership import mark_bucket, refuse_forgotten, tell_bucket
from flow_pipelines.lifecycle.ports import (
    LEASE_SECONDS,
    Ports,
    collect_lease,
    held_lease,
    submit_lease,
)
from flow_pipelines.lifecycle.post_outcome import Answer
from flow_pipelines.lifecycle.requests import (
    body_sha256_of,
    refuse_unsendable,
    submit_request,
)
from flow_pipelines.lifecycle.sending import SubmitSummary, to_send
from flow_pipelines.model import (
    BatchSettings,
    Night,
    NightRecord,
    Receipt,
    Submission,
    SubmissionState,
)
from flow_pipelines.model.errors import (
    AccountRejected,
    BudgetExceeded,
    ConfigurationError,
    IllegalTransition,
    IntentInDoubt,
    KeyAlreadyKnown,
    LeaseLost,
    LedgerError,
    NightStopped,
    NotFound,
    Paused,
    ProviderError,
    ProviderUnavailable,
    RequestRejected,
    Stopped,
    StorageError,
    WaitsForAsk,
    WrongLedger,
)
from flow_pipelines.provider import Purpose, SubmitRequest

UNRESOLVED_IN_A_ROW = 3
"""After so many lost answers in a row the rest stays planned: something is broken."""
MAX_INTENT_AGE = timedelta(seconds=60)
"""An intent older than this is not sent any more: its process stood still, and whoever waited for
it may have concluded that nothing was bought (`ledger.contract.UNDER_WAY`)."""
LONGEST_WAIT_SECONDS = 120.0
"""As long as for a turn; a provider that asks for more ends the run, and sensors go on later."""
UNAVAILABLE_IN_A_ROW = 5
"""After so many refusals to even accept a request the rest waits for a later run."""


def submit_night(  # noqa: PLR0913 - what one Dagster run may ask for
    settings: BatchSettings,
    night: Night,
    ports: Ports,
    *,
    owner: str,
    limit: int | None = None,
    backfill_id: str | None = None,
    hold_for_collection: bool = False,
    regeneration: Callable[[], object] | None = None,
    asked_by: str | None = "",
) -> SubmitSummary:
    """Submit what is planned for a night, at most `limit` of it; the rest stays planned.

    Billed: one provider run for each submission sent. Safe to repeat: what was sent is not
    planned any more. `regeneration` plans more of it first, under the lease and the limit: nobody
    else may find its rows planned before it is known how many of them are wanted. With
    `hold_for_collection` the night's collect lease is held afterwards for `owner`, whose next step
    will collect; it expires by itself.

    Raises: LeaseLost, when another run submits for this night; ConfigurationError and WrongLedger
    before anything is spent; what `regeneration` raises.
    """
    record = _planned_night(night, ports)
    refuse_unsendable(night, ports)
    price_of(settings, ports, record)
    with held_lease(ports, submit_lease(night), owner):
        journaled = tell_bucket(night, record, ports)
        goal = None if limit is None else record.sent + limit
        ports.ledger.note_submitter(night, backfill_id, goal)
        if regeneration is not None:
            _regenerate(regeneration, record, ports)
            refuse_unsendable(night, ports)
        record = _planned_night(night, ports)
        if not journaled:
            refuse_forgotten(record, ports)
        estimate = price_of(settings, ports, record)
        purpose = Purpose.SUBMIT if backfill_id is None else Purpose.BACKFILL
        ports.ledger.note_ask(night, asked_by, settings.stop_after_failures)
        record = _planned_night(night, ports)
        run = _Submitting(settings, record, ports, owner, estimate, purpose)
        run.journal.begin(complete=journaled)
        mark_bucket(night, ports)
        summary = run.submit(limit)
        _note_end(ports, night, backfill_id, summary)
        if hold_for_collection:
            ports.ledger.acquire_lease(collect_lease(night), owner, LEASE_SECONDS)
    return summary


def _planned_night(night: Night, ports: Ports) -> NightRecord:
    record = ports.ledger.night(night)
    if record is None:
        message = f"{night}: nothing was planned yet; materialize {night.batch}/prompts first"
        raise ConfigurationError(message)
    return record


def _regenerate(regeneration: Callable[[], object], before: NightRecord, ports: Ports) -> None:
    """Plan more; where that is refused, sensors go on as far as they might before, no further."""
    try:
        regeneration()
    except BaseException:
        ports.ledger.note_submitter(before.night, before.backfill_id, before.submit_goal)
        raise


def _note_end(ports: Ports, night: Night, backfill_id: str | None, summary: SubmitSummary) -> None:
    """Count what is left, and keep sensors from repeating what only a person can mend."""
    record = _planned_night(night, ports)
    summary.left_planned = record.counts.get(SubmissionState.PLANNED, 0)
    if summary.needs_person:
        ports.ledger.note_submitter(night, backfill_id, record.sent)


class _Submitting:
    """One pass over planned submissions."""

    def __init__(
        self,
        settings: BatchSettings,
        record: NightRecord,
        ports: Ports,
        owner: str,
        estimate: Decimal | None,
        purpose: Purpose,
    ) -> None:
        self.settings, self.ports, self.record, self.night = settings, ports, record, record.night
        self.owner, self.estimate, self.purpose = owner, estimate, purpose
        self.journal = Journal(ports, self.night)
        self.started_at = ports.clock.now()
        self.age = timedelta(0)
        self.summary = SubmitSummary()
        self.remaining: Iterator[Submission] = iter(())
        self.refusals: Counter[str] = Counter()

    def submit(self, limit: int | None) -> SubmitSummary:
        if self.record.stopped is not None:
            self._stop(self.record.stopped, needs_person=True)
            return self.summary
        if not self._account_is_unchanged():
            return self.summary
        self.remaining = islice(to_send(self.ports.ledger, self.record, PAGE), limit)
        for submission in self.remaining:
            while self.summary.stopped is None and not self._attempt(submission):
                pass
            if self.summary.stopped is not None:
                break
        return self.summary

    def _account_is_unchanged(self) -> bool:
        """Return whether the account is the one it was, if there is something to send."""
        if not self.ports.ledger.planned_for(self.night):
            return True
        try:
            check_identity(self.ports)
            note_budget(self.ports, self.settings.daily_budget_usd)
        except ProviderUnavailable as error:
            self._stop(f"{error}; the rest stays planned", needs_person=False)
        return self.summary.stopped is None

    def _attempt(self, submission: Submission) -> bool:
        """Try to buy one submission; False: proven not accepted, and worth another try now."""
        try:
            request = self._request(submission)
            body_sha256 = body_sha256_of(self.ports, request)
            self.ports.provider.take_turn(self.purpose)
            if self._account_refused():
                return True
            sent = self._begin(submission, body_sha256)
        except IllegalTransition:
            return True  # somebody canceled, settled or mended it meanwhile
        except BudgetExceeded as error:
            self._skip_rest(submission, error)
        except (Paused, LeaseLost, NightStopped) as error:
            self._stop(str(error), needs_person=isinstance(error, NightStopped))
        except ProviderError as error:
            self._not_sent(submission, error)
        else:
            answer = Answer(self.ports, sent)
            return (
                self._journal_failed(sent, answer)
                or self._stop_if_too_late(answer)
                or self._post(sent, answer, request)
            )
        return True

    def _request(self, submission: Submission) -> SubmitRequest:
        request = submit_request(self.ports, submission)
        return with_inputs(self.ports, submission, request)

    def _not_sent(self, submission: Submission, error: ProviderError) -> None:
        """Do what follows from no turn, or from a row that cannot be sent as it is."""
        if isinstance(error, AccountRejected):
            self._account_level(error)
        elif isinstance(error, RequestRejected):
            self._refuse(submission, error)
        else:
            self._stop(f"{error}; the rest stays planned", needs_person=False)

    def _refuse(self, submission: Submission, error: RequestRejected) -> None:
        """Fail a row that the provider cannot be sent; nothing was bought."""
        try:
            sent = self._begin(submission, "")
        except WaitsForAsk:
            return  # somebody mended it meanwhile
        except (IllegalTransition, LeaseLost, Stopped) as problem:
            self._stop(f"{error}; {problem}", needs_person=True)
            return
        self._refused(sent, Answer(self.ports, sent), error)

    def _begin(self, planned: Submission, body_sha256: str) -> Submission:
        """Write the intent. Raises: IntentInDoubt, once it is planned again, written or not."""
        try:
            return self.ports.ledger.begin_submission(
                planned.submission_key,
                lease=submit_lease(self.night),
                owner=self.owner,
                resource=self.settings.resource,
                body_sha256=body_sha256,
                estimate_usd=self.estimate,
                budget_usd=self.settings.budget_usd,
                daily_budget_usd=self.settings.daily_budget_usd,
                planned=planned,
            )
        except IntentInDoubt as doubt:
            Answer(self.ports, doubt.sent).not_accepted(f"not sent: {doubt}")
            raise

    def _account_refused(self) -> bool:
        """Tell, and stop, when a poll or another run found the account refused meanwhile."""
        stop = self.ports.ledger.account_stop(self.settings.resource, self.started_at)
        if stop is not None:
            self._stop(
                f"{self.settings.provider} refuses this account ({stop.code}): {stop.message}",
                needs_person=True,
            )
        return stop is not None

    def _post(self, sent: Submission, answer: Answer, request: SubmitRequest) -> bool:
        """Send the POST of a written intent, once, and write what its answer proves."""
        try:
            receipt = self.ports.provider.submit(request)
        except ProviderUnavailable as error:
            answer.not_accepted(str(error))
            return self._unavailable(error)
        except (AccountRejected, NotFound) as error:
            answer.not_accepted(str(error))
            self._account_level(error)
        except RequestRejected as error:
            self._refused(sent, answer, error)
        except KeyAlreadyKnown as error:
            self._look_up(request, sent, answer, error)
        except ProviderError as error:
            self._park(sent, answer, str(error))
        except BaseException as error:
            # Not even our own code knows how far it came: an interrupt may hit inside the POST.
            answer.unknown(f"interrupted while submitting: {type(error).__name__}")
            raise
        else:
            self._receive(answer, receipt)
        return True

    def _journal_failed(self, sent: Submission, answer: Answer) -> bool:
        """Write the intent to the journal, tell its age; where one fails, send nothing and stop."""
        try:
            self.journal.write(sent)
            # Read anew: this process, or its host, may have stood still since.
            self.age = self.ports.ledger.now() - (sent.submitting_at or self.started_at)
        except WrongLedger as error:
            answer.not_accepted(f"not sent: {error}")
            raise
        except (StorageError, ConfigurationError, LedgerError) as error:
            answer.not_accepted(f"not sent: {error}")
            self._stop(f"{error}; the rest stays planned", needs_person=False)
            return True
        except BaseException as error:
            answer.not_accepted(f"not sent: interrupted before it by {type(error).__name__}")
            raise
        return False

    def _refused(self, sent: Submission, answer: Answer, error: RequestRejected) -> None:
        """Write that a row was refused, and stop where the ledger finds that all are."""
        answer.refused(error)
        self.summary.failed += 1
        self.refusals[error.kind] += 1
        if (stopped := _planned_night(self.night, self.ports).stopped) is not None:
            if self.ports.ledger.submission(sent.submission_key).state is SubmissionState.PLANNED:
                self.summary.failed -= self.refusals[error.kind]
            self._stop(f"{stopped}; the rest stays planned", needs_person=True)

    def _stop_if_too_late(self, answer: Answer) -> bool:
        """Tell, send nothing and stop, when this process was suspended after its intent."""
        if self.age <= MAX_INTENT_AGE:
            return False
        reason = f"this process stood still for {self.age.total_seconds():.0f} s before sending it"
        answer.not_accepted(f"not sent: {reason}")
        self._stop(f"{reason}; the rest stays planned", needs_person=False)
        return True

    def _receive(self, answer: Answer, receipt: Receipt) -> None:
        answer.accepted(receipt)
        self.summary.submitted += 1
        self.summary.unresolved_in_a_row = self.summary.unavailable_in_a_row = 0

    def _look_up(
        self, request: SubmitRequest, sent: Submission, answer: Answer, error: ProviderError
    ) -> None:
        """Park what an earlier intent may have bought: that its key is known proves no run."""
        answer.key_known(str(error))
        try:
            run_ids = [run.provider_run_id for run in candidates(self.ports, sent, request)]
        except ProviderError as problem:
            self.ports.log(f"{sent.submission_key}: no candidates could be listed: {problem}")
            run_ids = []
        self._park(sent, answer, "; ".join(filter(None, (str(error), in_words(run_ids)))))

    def _park(self, sent: Submission, answer: Answer, reason: str) -> None:
        answer.unknown(reason)
        key = sent.submission_key
        self.ports.log(
            f"{key} is unresolved, perhaps billed, and is not bought again: {reason}. "
            f"`flow-pipelines resolve {key}` settles it"
        )
        self.summary.unresolved += 1
        self.summary.unresolved_in_a_row += 1
        if self.summary.unresolved_in_a_row >= UNRESOLVED_IN_A_ROW:
            lost = f"{UNRESOLVED_IN_A_ROW} answers in a row were lost; the rest stays planned"
            self._stop(f"{lost}. Last: {reason}", needs_person=True)

    def _unavailable(self, error: ProviderUnavailable) -> bool:
        self.summary.unavailable_in_a_row += 1
        wait = error.retry_after_seconds or 2.0**self.summary.unavailable_in_a_row
        if wait > LONGEST_WAIT_SECONDS:
            until = self.ports.clock.now() + timedelta(seconds=wait)
            held = f"{error}; nothing is sent before {until:%Y-%m-%d %H:%M:%S} UTC"
            self._stop(f"{held}, and the rest stays planned", needs_person=False)
        elif self.summary.unavailable_in_a_row >= UNAVAILABLE_IN_A_ROW:
            self._stop(f"{error}; the rest stays planned", needs_person=False)
        else:
            self.ports.clock.sleep(wait)
        return self.summary.stopped is not None

    def _account_level(self, error: ProviderError) -> None:
        stop_if_rejected(self.ports, self.settings.resource, error)
        self._stop(f"{error}; nothing more was sent, the rest stays planned", needs_person=True)

    def _skip_rest(self, first: Submission, error: BudgetExceeded) -> None:
        # Only what was asked for: rows beyond a limit stay planned.
        for page in chunks(chain([first], self.remaining), PAGE):
            keys = [submission.submission_key for submission in page]
            self.summary.skipped += self.ports.ledger.skip(keys, str(error))
        self.summary.over_budget = True
        self._stop(f"{error}; {self.summary.skipped} row(s) skipped", needs_person=True)

    def _stop(self, reason: str, *, needs_person: bool) -> None:
        self.ports.log(f"{self.night}: stopped submitting: {reason}")
        self.summary.stopped = reason
        self.summary.needs_person = needs_person
