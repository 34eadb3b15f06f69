"""What is whose: a run, the bytes of each file, an entry of the journal."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from PIL import Image

from flow_pipelines.lifecycle.callback_addresses import name_of
from flow_pipelines.model import Night, Output, Submission
from flow_pipelines.sandbox.control_client import SandboxRun
from flow_pipelines.sandbox.files import file_of
from flow_pipelines_tests.faults.chaos.state import PREFIX, ChaosState, account_of

_DAMAGED = ("empty", "JPEG without its last bytes")
EXTRA_KINDS = ("svg", "json", "latent", "bad CRC in an ancillary chunk", *_DAMAGED)
"""What a run gives beside its pictures, where the stand-in can do that."""
_EXTRAS = {file_of(kind).name: kind for kind in EXTRA_KINDS}


def whose(submission: Submission, run: SandboxRun, ledger_id: str) -> str:
    """Say whose run a submission has; empty: its own."""
    if submission.prompt not in run.prompt:
        return f"the run of another prompt: {run.prompt!r} for {submission.prompt!r}"
    if run.label and name_of(submission.submission_key, ledger_id) not in run.label:
        return f"another's run: {run.label}"
    if run.account != account_of(submission.resource):
        return f"a run of {run.account}, and was sent with {submission.resource}"
    return ""


def extra_of(name: str | None) -> str:
    """Return the kind of a file that is no picture of its run, by its name; empty: a picture."""
    return _EXTRAS.get(name or "", "")


def problems_of(
    world: ChaosState, submission: Submission, run: SandboxRun | None, outputs: Sequence[Output]
) -> Iterator[str]:
    """Say what is wrong with a submission's files in the bucket."""
    made = Counter(run.outputs if run else ())
    yield from (f"output {n} is lost" for n in range(len(outputs), made.total()))
    extras = Counter(output.file_name for output in outputs if extra_of(output.file_name))
    if extras != Counter({name: n for name, n in made.items() if extra_of(name)}):
        yield f"its files are {extras}, and {made} were made"
    for output in outputs:
        path = world.bucket_folder / (output.stored.s3_key if output.stored else "-")
        if output.stored is None or not path.is_file():
            yield f"output {output.output_index} is not in the bucket: {output.problem}"
            continue
        for problem in _problems_of_file(world, submission, output, path.read_bytes()):
            yield f"output {output.output_index}, {output.file_name}, {problem}"


def _problems_of_file(
    world: ChaosState, submission: Submission, output: Output, content: bytes
) -> Iterator[str]:
    stored, kind = output.stored, extra_of(output.file_name)
    assert stored is not None
    if hashlib.sha256(content).hexdigest() != stored.sha256:
        yield "is not what the ledger says"
    bucket = world.environment["FLOW_PIPELINES_BUCKET"]
    told = world.s3.head_object(Bucket=bucket, Key=stored.s3_key)["Metadata"]
    if told["submission-key"] != submission.submission_key:
        yield f"says that it is of {told['submission-key']}"
    if stored.is_damaged != (kind in _DAMAGED):
        yield f"is called {stored.verified}: {stored.verified_why}"
    if kind and content != file_of(kind).content:
        yield "is not what its run made"
    if not kind:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
            shows = str(picture.info.get("prompt"))
        if submission.prompt not in shows:
            yield f"shows {shows!r}, not {submission.prompt!r}"


def journaled(world: ChaosState, night: Night) -> Mapping[str, int]:
    """Return the last intent of each submission that the journal names."""
    folder = world.bucket_folder / PREFIX / night.batch / "_journal" / night.partition_key
    found: dict[str, int] = {}
    for file in folder.glob("*.json"):
        key, _, number = file.stem.rpartition(".")
        if number.isdigit():
            found[key] = max(found.get(key, 0), int(number))
    return found
