"""What the chaos came to: bills, pictures, and why each unresolved submission is one."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from PIL import Image

from flow_pipelines.ledger import open_ledger
from flow_pipelines.model import Output, Submission, SubmissionState
from flow_pipelines.sandbox.control_client import SandboxRun
from flow_pipelines.sandbox.meter import RequestRecord
from flow_pipelines_tests.faults.chaos.world import World

WINDOW_SECONDS = 600.0
"""By the fast clock: how long after its intent a request may have been answered."""
_ABANDONED = "ended before a receipt"
"""From the ledger's reason for a submission whose process died."""
_LOSSES = {"drop_after_accept", "status"}


@dataclass(kw_only=True)
class Verdict:
    """Counts over all providers, and a line for everything that must not be."""

    submissions: int = 0
    succeeded: int = 0
    billed: int = 0
    duplicate_bills: int = 0
    lost_images: int = 0
    images: int = 0
    unresolved_lost_answer: int = 0
    unresolved_killed: int = 0
    unresolved_unexplained: int = 0
    unsettled: int = 0
    unknown_bills: int = 0
    """Billed runs that no submission has, beyond those that are unresolved."""
    mistaken: int = 0
    """Submissions that were given the run of another one."""
    lines: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        bad = (
            self.duplicate_bills,
            self.lost_images,
            self.unresolved_unexplained,
            self.unsettled,
            self.mistaken,
            self.unknown_bills,
        )
        return not any(bad)


def judge(
    world: World, kills: Sequence[tuple[int, datetime]], submit_operations: dict[str, str]
) -> Verdict:
    """Compare ledger, bucket and meters; `kills` are process ids and when they were ended."""
    verdict, readings = Verdict(), world.control.state()
    ledger = open_ledger(world.ledger_url, world.clock)
    losses = _losses(world, submit_operations)
    for provider in submit_operations:
        mine = [night for name, night in world.nights if name == provider]
        runs = world.control.runs(provider)
        made = {run.id: len(run.outputs) for run in runs}
        submissions: list[Submission] = []
        for night in mine:
            bought = ledger.submissions(night)
            _pictures(world, verdict, made, bought, ledger.outputs(night))
            submissions += bought
        verdict.submissions += len(submissions)
        verdict.billed += readings[provider].runs_billed
        verdict.duplicate_bills += readings[provider].duplicate_bills
        verdict.lines += [f"billed twice: {one}" for one in readings[provider].duplicates]
        _states(verdict, submissions, runs)
        for one in submissions:
            if one.state is SubmissionState.UNRESOLVED:
                _explain(verdict, one, kills, losses[provider])
    return verdict


def _losses(world: World, submit_operations: dict[str, str]) -> dict[str, list[RequestRecord]]:
    found: dict[str, list[RequestRecord]] = {name: [] for name in submit_operations}
    for record in world.control.requests():
        operation = submit_operations.get(record.provider)
        if record.operation == operation and record.fault in _LOSSES and record.status in (0, 500):
            found[record.provider].append(record)
    return found


def _states(
    verdict: Verdict, submissions: Sequence[Submission], runs: Sequence[SandboxRun]
) -> None:
    states = [one.state for one in submissions]
    unresolved = states.count(SubmissionState.UNRESOLVED)
    succeeded = states.count(SubmissionState.SUCCEEDED)
    verdict.succeeded += succeeded
    verdict.unsettled += len(states) - succeeded - unresolved
    labels = {run.id: run.label for run in runs}
    for one in submissions:
        label = labels.get(one.provider_run_id or "")
        if label and one.submission_key not in label:
            verdict.mistaken += 1
            verdict.lines.append(f"{one.submission_key} has another's run: {label}")
    known = {one.provider_run_id for one in submissions if one.provider_run_id}
    orphans = {run.id for run in runs} - known
    verdict.unknown_bills += max(len(orphans) - unresolved, 0)


def _pictures(
    world: World,
    verdict: Verdict,
    made: Mapping[str, int],
    submissions: Sequence[Submission],
    outputs: Mapping[str, Sequence[Output]],
) -> None:
    for one in submissions:
        if one.state is not SubmissionState.SUCCEEDED:
            continue
        mine = outputs.get(one.submission_key, ())
        problems = list(_problems(world, mine))
        missing = max(made.get(one.provider_run_id or "", 0) - len(mine), 0)
        verdict.images += len(mine) + missing
        verdict.lost_images += len(problems) + missing
        verdict.lines += [f"{one.submission_key}: {problem}" for problem in problems]


def _problems(world: World, outputs: Sequence[Output]) -> Iterator[str]:
    for output in outputs:
        path = world.bucket_folder / (output.stored.s3_key if output.stored else "-")
        if output.stored is None or not path.is_file():
            yield f"output {output.output_index} is not in the bucket: {output.problem}"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != output.stored.sha256:
            yield f"output {output.output_index} is not what the ledger says"
        else:
            Image.open(io.BytesIO(path.read_bytes())).load()


def _explain(
    verdict: Verdict,
    submission: Submission,
    kills: Sequence[tuple[int, datetime]],
    losses: list[RequestRecord],
) -> None:
    """Find what made a submission unresolved; each lost answer explains one only."""
    began = submission.submitting_at or submission.planned_at
    pid = int((submission.dagster_run_id or "0").split("-")[0])
    was_killed = any(killed == pid and at >= began for killed, at in kills)
    loss = next((one for one in losses if 0 <= one.at - began.timestamp() <= WINDOW_SECONDS), None)
    if was_killed and _ABANDONED in (submission.reason or ""):
        verdict.unresolved_killed += 1
    elif loss is not None:
        losses.remove(loss)
        verdict.unresolved_lost_answer += 1
    elif was_killed:
        verdict.unresolved_killed += 1
    else:
        verdict.unresolved_unexplained += 1
        verdict.lines.append(f"unresolved for no known reason: {submission}")
