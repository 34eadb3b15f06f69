"""What the chaos came to: bills, pictures, and why each unresolved submission is one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from flow_pipelines.ledger import RunLedger, open_ledger
from flow_pipelines.model import Submission, SubmissionState
from flow_pipelines.sandbox.control_client import SandboxRun
from flow_pipelines.sandbox.meter import RequestRecord
from flow_pipelines_tests.faults.chaos.belongings import (
    extra_of,
    journaled,
    problems_of,
    whose,
)
from flow_pipelines_tests.faults.chaos.state import STRANGE, ChaosState
from flow_pipelines_tests.faults.chaos.stranger import strange_url
from flow_pipelines_tests.faults.chaos.tables import EARLY, REFUSED, prompt_ids, row_of

WINDOW_SECONDS = 600.0
"""By the fast clock: how long after its intent a request may have been answered."""
_ABANDONED = "ended before a receipt"
"""From the ledger's reason for a submission whose process died."""
_FROM_THE_BUCKET = "has its receipt"
"""From the ledger's reason for an attachment by the night's table."""
_LOSSES = {"drop_after_accept", "status"}

Kill = tuple[int, datetime]
"""A process id, and when it was ended."""
Restore = tuple[datetime, datetime]
"""When a copy of the ledger was taken, and when it was put back."""


@dataclass(kw_only=True)
class Verdict:
    """Counts over all providers, and a line for everything that must not be."""

    submissions: int = 0
    missing: int = 0
    """Rows of the tables of which the ledger knows nothing."""
    succeeded: int = 0
    billed: int = 0
    strangers: int = 0
    """Runs that a stranger bought on the same accounts meanwhile."""
    accounts: dict[str, int] = field(default_factory=dict)
    """Runs of ours by account."""
    duplicate_bills: int = 0
    lost_files: int = 0
    files: int = 0
    extra_files: int = 0
    """Of them those that are no pictures of their runs."""
    attached_from_bucket: int = 0
    """Receipts that a copy of the ledger lacked, taken from `runs.parquet`."""
    unresolved_lost_answer: int = 0
    unresolved_killed: int = 0
    unresolved_restored: int = 0
    """Sent after the copy of the ledger that was put back; their provider cannot tell."""
    unresolved_unexplained: int = 0
    unsettled: int = 0
    unknown_bills: int = 0
    """Billed runs that no submission has, beyond those that are unresolved."""
    mistaken: int = 0
    """Submissions that were given the run of another one, or another account's; pictures of
    another prompt; and what the stranger's ledger was given of ours."""
    forgotten: int = 0
    """Intents in the journal that the ledger does not know."""
    mended: int = 0
    """Nights whose table a person wrote anew after rows of it had been refused."""
    stops: int = 0
    """Times that a person found such a night stopped."""
    kept: int = 0
    """Rows accepted before their table was mended, under the text that they were bought with."""
    not_stopped: int = 0
    """Times that a person found more refusals, or more rows failed by them, than may be."""
    lines: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        bad = (
            self.missing,
            self.duplicate_bills,
            self.lost_files,
            self.unresolved_unexplained,
            self.unsettled,
            self.mistaken,
            self.unknown_bills,
            self.forgotten,
            self.not_stopped,
        )
        return not any(bad)


def judge(
    world: ChaosState,
    kills: Sequence[Kill],
    restores: Sequence[Restore],
    submit_operations: dict[str, str],
) -> Verdict:
    """Compare ledger, bucket and meters, over all providers."""
    verdict, readings = Verdict(), world.control.state()
    ledger = open_ledger(world.ledger_url, world.clock)
    losses = _losses(world, submit_operations)
    for provider in submit_operations:
        every = world.control.runs(provider)
        runs = [run for run in every if STRANGE not in run.prompt]
        submissions = _bought(world, verdict, ledger, provider, every)
        verdict.strangers += len(every) - len(runs)
        _bills(verdict, runs, readings[provider].duplicates)
        _states(verdict, submissions, runs)
        _mistaken(verdict, submissions, every, ledger.ledger_id)
        for one in submissions:
            _restored(verdict, ledger, one, restores)
            if one.state is SubmissionState.UNRESOLVED:
                _explain(verdict, one, kills, restores, losses[provider])
    _strange_ledger(world, verdict)
    return verdict


def _losses(world: ChaosState, submit_operations: dict[str, str]) -> dict[str, list[RequestRecord]]:
    found: dict[str, list[RequestRecord]] = {name: [] for name in submit_operations}
    for record in world.control.requests():
        operation = submit_operations.get(record.provider)
        if record.operation == operation and record.fault in _LOSSES and record.status in (0, 500):
            found[record.provider].append(record)
    return found


def _bought(
    world: ChaosState,
    verdict: Verdict,
    ledger: RunLedger,
    provider: str,
    runs: Sequence[SandboxRun],
) -> Sequence[Submission]:
    """Return the submissions of a provider's nights; look at their rows, journal and pictures."""
    made = {run.id: run for run in runs}
    found: list[Submission] = []
    for night in (night for name, night in world.nights if name == provider):
        bought = ledger.submissions(night)
        rows = prompt_ids(world.table(night))
        verdict.missing += len({*rows} - {one.prompt_id for one in bought})
        known = ledger.intents(night)
        for key, intents in journaled(world, night).items():
            if intents > known.get(key, 0):
                verdict.forgotten += 1
                verdict.lines.append(f"{night}: the journal names intent {intents} of {key}")
        outputs = ledger.outputs(night)
        for one in bought:
            if one.state is SubmissionState.SUCCEEDED:
                mine = outputs.get(one.submission_key, ())
                problems = list(problems_of(world, one, made.get(one.provider_run_id or ""), mine))
                verdict.files += len(mine)
                verdict.extra_files += sum(bool(extra_of(output.file_name)) for output in mine)
                verdict.lost_files += len(problems)
                verdict.kept += EARLY in one.prompt
                verdict.lines += [f"{one.submission_key}: {problem}" for problem in problems]
        found += bought
    verdict.submissions += len(found)
    return found


def _bills(verdict: Verdict, runs: Sequence[SandboxRun], metered: Sequence[str]) -> None:
    """Count our own: each row has a text of its own, whatever is mended and wherever bought."""
    bought = Counter(row_of(run.prompt) for run in runs)
    twice = [prompt for prompt, count in bought.items() if count > 1]
    verdict.billed += len(runs)
    verdict.duplicate_bills += max(len(runs) - len(bought), len(metered))
    verdict.lines += [f"billed twice: {one}" for one in twice or metered]
    refused = [f"billed, though refused: {run.prompt}" for run in runs if REFUSED in run.prompt]
    verdict.not_stopped += len(refused)
    verdict.lines += refused
    for run in runs:
        verdict.accounts[run.account] = verdict.accounts.get(run.account, 0) + 1


def _states(
    verdict: Verdict, submissions: Sequence[Submission], runs: Sequence[SandboxRun]
) -> None:
    states = [one.state for one in submissions]
    unresolved = states.count(SubmissionState.UNRESOLVED)
    succeeded = states.count(SubmissionState.SUCCEEDED)
    verdict.succeeded += succeeded
    verdict.unsettled += len(states) - succeeded - unresolved
    known = {one.provider_run_id for one in submissions if one.provider_run_id}
    orphans = {run.id for run in runs} - known
    verdict.unknown_bills += max(len(orphans) - unresolved, 0)


def _mistaken(
    verdict: Verdict,
    submissions: Sequence[Submission],
    runs: Sequence[SandboxRun],
    ledger_id: str,
) -> None:
    by_id: Mapping[str, SandboxRun] = {run.id: run for run in runs}
    for one in submissions:
        run = by_id.get(one.provider_run_id or "")
        problem = whose(one, run, ledger_id) if run else ""
        if problem:
            verdict.mistaken += 1
            verdict.lines.append(f"{one.submission_key} has {problem}")


def _strange_ledger(world: ChaosState, verdict: Verdict) -> None:
    """Look whether the stranger was given a run of ours."""
    prompts = {run.id: run.prompt for run in world.control.runs()}
    ledger = open_ledger(strange_url(world.folder), world.clock)
    for _, night in world.nights:
        for one in ledger.submissions(night):
            prompt = prompts.get(one.provider_run_id or "", STRANGE)
            if STRANGE not in prompt:
                verdict.mistaken += 1
                verdict.lines.append(f"the stranger's {one.submission_key} has our {prompt!r}")


def _since_a_copy(submission: Submission, restores: Sequence[Restore]) -> bool:
    began = submission.submitting_at
    return began is not None and any(copied <= began <= back for copied, back in restores)


def _restored(
    verdict: Verdict, ledger: RunLedger, one: Submission, restores: Sequence[Restore]
) -> None:
    if one.provider_run_id and _since_a_copy(one, restores):
        told = ledger.settlements(one.submission_key)
        verdict.attached_from_bucket += any(_FROM_THE_BUCKET in each.why for each in told)


def _explain(
    verdict: Verdict,
    submission: Submission,
    kills: Sequence[Kill],
    restores: Sequence[Restore],
    losses: list[RequestRecord],
) -> None:
    """Find what made a submission unresolved; each lost answer explains one only."""
    began = submission.submitting_at or submission.planned_at
    pid = int((submission.dagster_run_id or "0").split("-")[0])
    was_killed = any(killed == pid and at >= began for killed, at in kills)
    loss = next((one for one in losses if 0 <= one.at - began.timestamp() <= WINDOW_SECONDS), None)
    if was_killed and _ABANDONED in (submission.reason or ""):
        verdict.unresolved_killed += 1
    elif _since_a_copy(submission, restores):
        verdict.unresolved_restored += 1
    elif loss is not None:
        losses.remove(loss)
        verdict.unresolved_lost_answer += 1
    elif was_killed:
        verdict.unresolved_killed += 1
    else:
        verdict.unresolved_unexplained += 1
        verdict.lines.append(f"unresolved for no known reason: {submission}")
