"""Download one output of a run and hand it to `storage.transfer`; retries and doubtful answers.

An answer that does not look like the output is downloaded again. It is stored as received once the
same bytes have come twice, or, for text in the place of a picture, after a day.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from flow_pipelines.batches.keys import path_safe
from flow_pipelines.lifecycle.links import needs_links, plain_ref
from flow_pipelines.lifecycle.object_metadata import object_metadata
from flow_pipelines.lifecycle.output_records import PendingWrite, record_problem
from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model import Output, OutputRef, StoredFacts, Submission
from flow_pipelines.model.errors import (
    ConfigurationError,
    LedgerError,
    ObjectDiffers,
    OutputDoubted,
    OutputRefused,
    OutputTooLarge,
    ProviderError,
    StorageError,
    TransferError,
)
from flow_pipelines.model.output import NEVER, is_named_by_link
from flow_pipelines.provider import Download
from flow_pipelines.storage.places import store_name
from flow_pipelines.storage.promises import Promise
from flow_pipelines.storage.transfer import (
    NO_BELIEF,
    Belief,
    Place,
    TextDownload,
    TransferLimits,
    store_output,
)

TRIES = 3
"""Downloads of one output in one collection; later collections try again."""
LONGEST_WAIT_SECONDS = 60.0
"""Whoever is told to come back later than this leaves the output to a later collection."""
DOUBT = timedelta(days=1)
"""How long what can hardly be an output is fetched again before it is kept as it came."""
_OF_ONE_OUTPUT = (TransferError, ProviderError, LedgerError, ObjectDiffers)
"""Errors that stop no other output; what else a bucket refuses stops everything."""


class Links(NamedTuple):
    """What opens a run's outputs now, by their `output_index`."""

    refs: Mapping[int, OutputRef] = MappingProxyType({})
    why_none: str = "the provider gives no link to it any more"
    """What to say of an output that is not among them."""
    name_all: bool = False
    """Every output of the answer is among them."""


class CollectedRun(NamedTuple):
    """A provider run whose outputs are stored, with all that the ledger knows of them."""

    ports: Ports
    submission: Submission
    outputs: Sequence[Output]
    pending: PendingWrite

    def missing(self) -> list[Output]:
        """Return what is to be fetched: also what is larger than was stored when it was told."""
        most = self.ports.max_output_bytes
        return [
            one
            for one in self.outputs
            if one.stored is None and (one.settled_above is None or one.settled_above < most)
        ]

    def damaged(self) -> list[Output]:
        """Return what is stored, and would give way to a better copy."""
        return [one for one in self.outputs if one.stored is not None and one.stored.is_damaged]


def store_one(run: CollectedRun, output: Output, links: Links) -> bool:
    """Store one output; False: it, or the one before it, could not be, and the ledger knows why."""
    ports = run.ports
    ref = links.refs.get(output.output_index)
    if ref is None:
        if needs_links(ports):
            return _note_nameless(run, output, links)
        ref = plain_ref(output)
    try:
        facts = _transfer_with_tries(run, output, ref)
    except OutputTooLarge as error:
        return _note_too_large(ports, output, error)
    except _OF_ONE_OUTPUT as error:
        record_problem(ports, output, str(error), doubted=_is_lasting(error))
        return False
    return run.pending.stored(output, facts)


def _note_nameless(run: CollectedRun, output: Output, links: Links) -> bool:
    """Note that no answer names an output; True: nothing is missing by that.

    A version before took a picture whose link was signed anew in its path for one more picture, of
    the same file name. An answer that merely leaves a picture out proves nothing of the kind.
    """
    named = {known.file_name for known in run.outputs if known.output_index in links.refs}
    if links.name_all and is_named_by_link(output) and output.file_name in named - {None}:
        why = "it is a picture of this run that is known under another output already"
        record_problem(run.ports, output, why, settled_above=NEVER)
        return True
    record_problem(run.ports, output, links.why_none)
    return False


def _note_too_large(ports: Ports, output: Output, error: OutputTooLarge) -> bool:
    """Note that an output is larger than is stored; True: that is settled, until more is."""
    if not error.is_told and not _after_a_day(ports, output):
        # An answer that never ends may be a fault of an hour.
        record_problem(ports, output, str(error), doubted=True)
        return False
    problem = f"{error} See max_output_bytes of the image_store resource."
    record_problem(ports, output, problem, settled_above=error.max_bytes)
    return True


def _is_lasting(error: Exception) -> bool:
    return isinstance(error, OutputDoubted) and error.lasting


def _after_a_day(ports: Ports, output: Output) -> bool:
    first = output.doubted_at
    return first is not None and ports.clock.now() - first >= DOUBT


def _transfer_with_tries(run: CollectedRun, output: Output, ref: OutputRef) -> StoredFacts:
    belief = NO_BELIEF
    for attempt in range(1, TRIES + 1):
        if attempt == TRIES:
            belief = replace(belief, after_a_day=_after_a_day(run.ports, output))
        try:
            return _transfer(run, output, ref, belief)
        except (OutputRefused, ConfigurationError, StorageError):
            raise
        except (TransferError, ProviderError) as error:
            wait = max(float(attempt), getattr(error, "retry_after_seconds", None) or 0.0)
            if attempt == TRIES or wait > LONGEST_WAIT_SECONDS:
                raise
            belief = Belief(seen_sha256=getattr(error, "sha256", belief.seen_sha256))
            run.ports.clock.sleep(wait)
    raise AssertionError


def _transfer(run: CollectedRun, output: Output, ref: OutputRef, belief: Belief) -> StoredFacts:
    ports, submission = run.ports, run.submission
    night = submission.night

    def key(extension: str) -> str:
        name = store_name(
            path_safe(submission.prompt_id),
            submission.copy,
            submission.submission_key,
            output.output_index,
            extension,
        )
        return ports.store.key(night.batch, path_safe(night.partition_key), "images", name)

    with _open(ports, ref) as download:
        return store_output(
            download,
            ports.store,
            Place(key_for=key, metadata=object_metadata(submission, output, run.outputs)),
            promise=_promise(output, ref),
            belief=belief,
            limits=TransferLimits(max_bytes=ports.max_output_bytes),
        )


def _open(ports: Ports, ref: OutputRef) -> AbstractContextManager[Download]:
    if ref.text is not None:
        return contextlib.nullcontext(TextDownload(ref.text))
    return ports.provider.fetch(ref, max_bytes=ports.max_output_bytes)


def replace_damaged(run: CollectedRun, links: Links) -> None:
    """Try once, for each output that is stored damaged, to fetch a better copy."""
    for output in run.damaged():
        ref = links.refs.get(output.output_index)
        if ref is None and not needs_links(run.ports):
            ref = plain_ref(output)
        store_once(run, output, ref)


def store_once(run: CollectedRun, output: Output, ref: OutputRef | None) -> bool:
    """Try one link, once; that it has expired is no problem worth a note."""
    if ref is None:
        return False
    try:
        facts = _transfer(run, output, ref, NO_BELIEF)
    except _OF_ONE_OUTPUT:
        return False
    return run.pending.stored(output, facts)


def _promise(output: Output, ref: OutputRef) -> Promise:
    """Return the media types that the provider and the link claim for an output."""
    link = unquote(urlsplit(ref.url or "").path).rpartition("/")[2]
    # How a link ends tells nothing unless it ends like a picture: it may be any program's name.
    linked = Promise(names=(link,))
    named = [link] if linked.is_media or linked.extension == "svg" else []
    size_bytes = output.declared_bytes if ref.size_bytes is None else ref.size_bytes
    return Promise(
        kind=output.kind,
        names=tuple(name for name in (output.file_name, ref.file_name, *named) if name),
        types=tuple(kind for kind in (ref.media_type, output.declared_type) if kind),
        size_bytes=size_bytes,
    )
