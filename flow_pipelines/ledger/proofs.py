"""The part of the ledger's contract about whose a provider run is, and what proves it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from flow_pipelines.ledger.records import DetachedOutput, SecondRun, Settlement
from flow_pipelines.model import Receipt, Submission


class Proofs(Protocol):
    """Which run is a submission's: told, attached, detached; see `contract.RunLedger`.

    A run that a person detached comes back only by a person's word, or as the answer to a later
    POST: neither its label, nor a copy, nor a callback attaches it again.
    """

    def attach(
        self, submission_key: str, receipt: Receipt, *, who: str, why: str, by_person: bool = False
    ) -> Submission:
        """unresolved → submitted, due for a poll now; who, when, why and the run are kept.

        Raises: IllegalTransition; LedgerError, when another submission has this provider run, or
        when a person detached it from this one, unless `by_person`.
        """

    def attach_told(
        self, submission_key: str, receipt: Receipt, *, who: str, why: str
    ) -> Submission:
        """planned, skipped, canceled, failed without a run, or unresolved → submitted.

        For a run that its token, or the answer to its own POST, proves to be this submission's,
        wherever the row has gone since: it exists, and is not bought again. It is due for a poll
        now, the night for collection. Where nothing is reserved, what the last intent reserved is,
        on the day of that intent; where nobody knows that, the workflow's price. A row without any
        intent has one from now on.
        Raises: as `attach`.
        """

    def detach(self, submission_key: str, *, who: str, why: str) -> Submission:
        """Undo an attachment: any state with a provider run → unresolved, without it.

        Cost, times and errors of the run go. What the intent reserved is reserved again. Its
        outputs become detached ones: stored files stay, and new outputs get indexes above them.
        Raises: IllegalTransition, when it has no provider run.
        """

    def detached_outputs(self, submission_key: str) -> Sequence[DetachedOutput]:
        """Return what belongs to none any more, by index."""

    def note_key_known(self, submission_key: str, why: str) -> None:
        """Note that the provider refused its idempotency key as known: no copy is sent any more.

        How old the key is nobody knows then, and the provider may soon have forgotten it.
        """

    def settlements(self, submission_key: str) -> Sequence[Settlement]:
        """Return what was decided about a submission, in order: by `attach`, `attach_told`,
        `detach`, `note_key_known`, `settle_not_created`, `settle_refused` and
        `settle_second_run`."""

    def note_second_run(self, submission_key: str, provider_run_id: str) -> bool:
        """Keep a run that was proven for a submission that has another one. Again: fine.

        False: it is the very run that the submission has. Raises: SubmissionNotFound.
        """

    def second_runs(self, submission_keys: Collection[str]) -> Sequence[SecondRun]:
        """Return the second runs of these submissions, the first heard of first."""

    def unsettled_second_runs(self, limit: int = 100) -> Sequence[SecondRun]:
        """Return second runs that no person has looked into, the first heard of first."""

    def settle_second_run(
        self, submission_key: str, provider_run_id: str, *, who: str, why: str
    ) -> None:
        """Note what a person found out about a second run. Attaching it does so, too.

        Raises: LedgerError, when no such run was heard of.
        """
