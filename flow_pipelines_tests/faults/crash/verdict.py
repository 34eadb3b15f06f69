"""What the stand-in billed, what the bucket holds and what the ledger says, held side by side."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import pyarrow.parquet as pq
from PIL import Image

from flow_pipelines.lifecycle import Ports
from flow_pipelines.model import Output, Submission, SubmissionState
from flow_pipelines.sandbox.control_client import SandboxRun
from flow_pipelines.sandbox.meter import Reading
from flow_pipelines_tests.faults.crash.harness import NIGHT, CrashHarness

S = SubmissionState
_REFUSED = 400
_SETTLED = {S.SUCCEEDED, S.FAILED, S.SKIPPED, S.UNRESOLVED}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How a night ended."""

    violations: list[str]
    states: dict[str, int]
    billed: int
    unresolved: int
    refused: int
    """Requests that bought nothing and were told so by a 400."""
    unasked: bool
    """The night had not been marked when its process died, and was asked for again."""


def judge(harness: CrashHarness, ports: Ports, name: str, *, unasked: bool) -> dict[str, object]:
    """Compare everything; `name` is the night's own."""
    submissions = ports.ledger.submissions(NIGHT)
    outputs = ports.ledger.outputs(NIGHT)
    reading = harness.control.state()[harness.provider]
    runs = harness.control.runs(harness.provider)
    states = [submission.state for submission in submissions]
    violations = [
        *_money(reading, submissions, runs),
        *_states(ports, states),
        *_pictures(harness, name, submissions, outputs, runs),
        *_tables(harness, name, submissions, outputs),
    ]
    verdict = Verdict(
        violations=violations,
        states={state.value: states.count(state) for state in sorted(set(states))},
        billed=reading.runs_billed,
        unresolved=states.count(S.UNRESOLVED),
        refused=sum(one.status == _REFUSED for one in harness.control.requests()),
        unasked=unasked,
    )
    return asdict(verdict)


def _money(
    reading: Reading, submissions: list[Submission], runs: list[SandboxRun]
) -> Iterator[str]:
    if reading.duplicate_bills:
        yield f"billed twice: {reading.duplicates}"
    known = [one.provider_run_id for one in submissions if one.provider_run_id]
    if len(set(known)) != len(known):
        yield "two submissions have one provider run"
    made = {run.id for run in runs}
    if not set(known) <= made:
        yield f"the ledger has runs that nobody made: {set(known) - made}"
    forgotten = made - set(known)
    if len(forgotten) > sum(one.state is S.UNRESOLVED for one in submissions):
        yield f"bought, and not in the ledger: {forgotten}"
    labels = {run.id: run.label for run in runs}
    for one in submissions:
        label = labels.get(one.provider_run_id)
        if label and one.submission_key not in label:
            yield f"{one.submission_key} has another's run: {label}"
        if one.state is S.SUCCEEDED and not one.reserved_usd:
            yield f"{one.submission_key} succeeded and counts nothing against a budget"


def _states(ports: Ports, states: list[SubmissionState]) -> Iterator[str]:
    if not states:
        yield "nothing is planned"
    if not set(states) <= _SETTLED:
        yield f"not settled: {set(states) - _SETTLED}"
    record = ports.ledger.night(NIGHT)
    if record is None or record.revision != record.collected_revision or record.uncollected:
        yield f"the night is not collected: {record}"
    for kind in ("submit", "collect"):
        if ports.ledger.lease(f"{kind}:{NIGHT}"):
            yield f"the {kind} lease is still held"


def _pictures(
    harness: CrashHarness,
    name: str,
    submissions: list[Submission],
    outputs: dict[str, list[Output]],
    runs: list[SandboxRun],
) -> Iterator[str]:
    made = {run.id: len(run.outputs) for run in runs}
    expected: set[str] = set()
    for submission in submissions:
        mine = outputs.get(submission.submission_key, ())
        if submission.state is S.SUCCEEDED and len(mine) != made[submission.provider_run_id]:
            yield f"{submission.submission_key} has {len(mine)} outputs"
        for output in mine:
            if output.stored is None:
                yield f"a picture is not stored: {output}"
                continue
            expected.add(output.stored.s3_key)
            yield from _whole(harness, output)
    folder = harness.bucket_folder / name / NIGHT.batch / NIGHT.partition_key / "images"
    there = {str(path.relative_to(harness.bucket_folder)) for path in folder.glob("*")}
    if there != expected:
        yield f"in the bucket, or in the ledger, but not in both: {there ^ expected}"


def _whole(harness: CrashHarness, output: Output) -> Iterator[str]:
    content = (harness.bucket_folder / output.stored.s3_key).read_bytes()
    if hashlib.sha256(content).hexdigest() != output.stored.sha256:
        yield f"another content than the ledger's: {output.stored.s3_key}"
    Image.open(io.BytesIO(content)).load()


def _tables(
    harness: CrashHarness,
    name: str,
    submissions: list[Submission],
    outputs: dict[str, list[Output]],
) -> Iterator[str]:
    folder = harness.bucket_folder / name / NIGHT.batch / NIGHT.partition_key
    runs = pq.ParquetFile(folder / "runs.parquet").read().to_pylist()
    told = [(row["submission_key"], row["status"], row["provider_run_id"]) for row in runs]
    known = [(one.submission_key, one.state.value, one.provider_run_id) for one in submissions]
    if sorted(told, key=str) != sorted(known, key=str):
        yield f"runs.parquet says {told}, the ledger {known}"
    manifest = pq.ParquetFile(folder / "manifest.parquet").read().to_pylist()
    listed = sorted((row["submission_key"], row["output_index"], row["sha256"]) for row in manifest)
    stored = sorted(
        (key, output.output_index, output.stored.sha256)
        for key, mine in outputs.items()
        for output in mine
        if output.stored
    )
    if listed != stored:
        yield f"manifest.parquet says {listed}, the ledger {stored}"
