"""What is whose: a run, a picture's bytes, an entry of the journal."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from flow_pipelines.lifecycle.callback_addresses import name_of
from flow_pipelines.model import Night, Output, Submission
from flow_pipelines.sandbox.control_client import SandboxRun
from flow_pipelines_tests.faults.chaos.world import PREFIX, World, account_of


def whose(submission: Submission, run: SandboxRun, ledger_id: str) -> str:
    """Say whose run a submission has; empty: its own."""
    if submission.prompt not in run.prompt:
        return f"the run of another prompt: {run.prompt!r} for {submission.prompt!r}"
    if run.label and name_of(submission.submission_key, ledger_id) not in run.label:
        return f"another's run: {run.label}"
    if run.account != account_of(submission.resource):
        return f"a run of {run.account}, and was sent with {submission.resource}"
    return ""


def problems_of(world: World, submission: Submission, outputs: Sequence[Output]) -> Iterator[str]:
    """Say what is wrong with a submission's files in the bucket."""
    for output in outputs:
        path = world.bucket_folder / (output.stored.s3_key if output.stored else "-")
        if output.stored is None or not path.is_file():
            yield f"output {output.output_index} is not in the bucket: {output.problem}"
            continue
        content = path.read_bytes()
        if hashlib.sha256(content).hexdigest() != output.stored.sha256:
            yield f"output {output.output_index} is not what the ledger says"
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            shows = str(picture.info.get("prompt"))
        if submission.prompt not in shows:
            yield f"output {output.output_index} shows {shows!r}, not {submission.prompt!r}"


def journaled(world: World, night: Night) -> Mapping[str, int]:
    """Return the last intent of each submission that the journal names."""
    folder = world.bucket_folder / PREFIX / night.batch / "_journal" / night.partition_key
    found: dict[str, int] = {}
    for file in folder.glob("*.json"):
        key, _, number = file.stem.rpartition(".")
        if number.isdigit():
            found[key] = max(found.get(key, 0), int(number))
    return found
