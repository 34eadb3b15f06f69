"""`flow-pipelines trace`: where a picture comes from, by what its object says or its content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote

import click

from flow_pipelines.cli.closed import closed_facts
from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.archive import NightRows, archived_night
from flow_pipelines.model import Output, Submission
from flow_pipelines.model.errors import ConfigurationError, FlowPipelinesError, SubmissionNotFound
from flow_pipelines.model.wording import NOT_COLLECTED
from flow_pipelines.storage.contract import StoredObject
from flow_pipelines.storage.places import uri_of
from flow_pipelines.storage.tables import cost_shares

_BLOCK_BYTES = 1024 * 1024
_S3 = "s3://"
_KEY = "submission-key"


def run_trace(place: str) -> int:
    """Print where the file at a path or an S3 URI comes from; 1: nobody knows it."""
    stored = _object_at(place) if place.startswith(_S3) else None
    sha256 = str(stored.sha256) if stored else _sha256_of_file(place)
    metadata = {name: unquote(value) for name, value in (stored.metadata if stored else {}).items()}
    traced, why_no_ledger = _in_ledger(metadata, sha256)
    for number, lines in enumerate(traced):
        click.echo("\n" * (number > 0) + "\n".join(lines))
    if traced:
        return 0
    click.echo(why_no_ledger or f"No output with the SHA-256 {sha256} is in this ledger.")
    if _KEY in metadata:
        click.echo("What its object says of itself:")
        click.echo("\n".join(_table(metadata)))
    return 0 if _KEY in metadata else 1


def _object_at(uri: str) -> StoredObject:
    from flow_pipelines.resources.image_store import ImageStoreResource

    bucket, _, key = uri.removeprefix(_S3).partition("/")
    stored = ImageStoreResource().at(bucket).inspect(key) if bucket and key else None
    if stored is None:
        raise ConfigurationError(f"There is no object at {uri}.")
    return stored


def _sha256_of_file(path: str) -> str:
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or error}") from None
    return digest.hexdigest()


def _in_ledger(metadata: Mapping[str, str], sha256: str) -> tuple[list[list[str]], str | None]:
    """Return the origin of each output of this content, and why the ledger was of no use."""
    from flow_pipelines.cli.environment import open_existing_ledger

    try:
        ledger = open_existing_ledger()
    except FlowPipelinesError as error:
        return [], str(error)
    with closing(ledger):
        found = [list(_origin(ledger, one)) for one in _outputs(ledger, metadata, sha256)]
        return found or list(_in_archive(ledger, metadata, sha256)), None


def _outputs(ledger: RunLedger, metadata: Mapping[str, str], sha256: str) -> Sequence[Output]:
    alike = ledger.stored_with(sha256)
    own = [one for one in alike if one.submission_key == metadata.get(_KEY)]
    if own or _KEY not in metadata:
        return own or alike
    try:
        key = ledger.submission(metadata[_KEY]).submission_key
    except SubmissionNotFound:
        return alike
    # The object was made smaller, or otherwise another one, and kept what it said.
    return ledger.outputs_of([key]).get(key, ())[:1] or alike


def _in_archive(ledger: RunLedger, metadata: Mapping[str, str], sha256: str) -> Iterator[list[str]]:
    """Yield the origin of a file of a closed night, by what its object says of itself."""
    known = ledger.closed_submission(metadata[_KEY]) if _KEY in metadata else None
    if known is None:
        return
    from flow_pipelines.resources.image_store import ImageStoreResource

    told = list(closed_facts(ledger, known))
    archived = archived_night(known.night, ledger, ImageStoreResource().get_store())
    siblings = archived.outputs().get(known.submission_key, ()) if archived else ()
    own = [one for one in siblings if one.stored and one.stored.sha256 == sha256]
    output = next(iter([*own, *siblings]), None)
    if archived is None or output is None:
        yield told
        return
    rows = {row.submission_key: row for row in archived.submissions()}
    yield [*_lines(rows[output.submission_key], output, siblings, archived), *told[2:]]


def _origin(ledger: RunLedger, output: Output) -> Iterator[str]:
    submission = ledger.submission(output.submission_key)
    siblings = ledger.outputs_of([output.submission_key])[output.submission_key]
    return _lines(submission, output, siblings, ledger)


def _lines(
    submission: Submission, output: Output, siblings: Sequence[Output], rows: NightRows
) -> Iterator[str]:
    yield from _table(_facts(submission, output, siblings))
    for one in siblings:
        if one.output_index != output.output_index:
            yield f"sibling            {_place_or_problem(one)}"
    for other in _generations(rows, submission):
        yield (
            f"generation {other.generation:<7} {other.submission_key} {other.state.value}"
            f"{'  (this one)' if other.submission_key == submission.submission_key else ''}"
        )


def _facts(
    submission: Submission, output: Output, siblings: Sequence[Output]
) -> Mapping[str, object | None]:
    stored = [one.output_index for one in siblings if one.stored]
    shares = dict(zip(stored, cost_shares(submission.cost_usd, len(stored)), strict=True))
    share, facts = shares.get(output.output_index), output.stored
    return {
        "file": _place_or_problem(output),
        "provider file": output.file_name,
        "node": output.node,
        "verified": facts and facts.verified,
        "night": submission.night,
        "row": f"{submission.prompt_id}, copy {submission.copy}",
        **_prompt(submission),
        "seed": submission.seed,
        "workflow": f"{submission.workflow} (version {submission.workflow_version})",
        "provider run": f"{submission.provider_run_id} at {submission.provider}",
        "state": submission.state.value,
        "submitted": submission.submitted_at,
        "finished": submission.finished_at,
        "run_ms": _run_ms(submission),
        "flotime_ms": submission.flotime_ms,
        "cost_usd": None if share is None else f"{share} of {submission.cost_usd}",
        "cost_basis": submission.cost_basis.value,
        "dagster run": submission.dagster_run_id,
        "submission key": submission.submission_key,
    }


def _prompt(submission: Submission) -> Mapping[str, str]:
    """Return what was asked for: as people are shown it, else what was sent."""
    prompt = " ".join(submission.prompt.split())
    if prompt:
        return {"prompt": prompt}
    return {"parameters": json.dumps(dict(submission.parameters), ensure_ascii=False)}


def _run_ms(submission: Submission) -> str | None:
    if submission.run_ms is None:
        return None
    return f"{'at most ' if submission.run_ms_is_bound else ''}{submission.run_ms}"


def _place_or_problem(output: Output) -> str:
    facts = output.stored
    if facts is None:
        return f"output {output.output_index}, not stored: {output.problem or NOT_COLLECTED}"
    return uri_of(facts) or facts.s3_key


def _generations(rows: NightRows, submission: Submission) -> list[Submission]:
    row = (submission.prompt_id, submission.copy)
    night = rows.each_submission(submission.night)
    generations = [each for each in night if (each.prompt_id, each.copy) == row]
    return generations if len(generations) > 1 else []


def _table(facts: Mapping[str, object | None]) -> Iterator[str]:
    return (f"{name:<18} {value}" for name, value in facts.items() if value is not None)
