"""Compare stored files with the bucket (checksums or listings); collect missing ones again.

What is missing can be fetched again. Nothing is ever overwritten: an object that differs from what
was stored stays as it is, for a person to look at.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle.archive import archived_night
from flow_pipelines.lifecycle.closed_nights import refuse_closed
from flow_pipelines.lifecycle.collect import LEASE_WAIT_SECONDS, collect_night
from flow_pipelines.lifecycle.file_locations import pages_with_locations
from flow_pipelines.lifecycle.ports import Workplace, collect_lease, held_lease
from flow_pipelines.model import Night, Output, StoredFacts
from flow_pipelines.model.errors import ConfigurationError, StorageError
from flow_pipelines.model.output import LOST
from flow_pipelines.storage.contract import ImageStore, StoredObject
from flow_pipelines.storage.places import store_of, uri_of

LOOKS = 8
"""Objects that are looked at, at a time."""

Kind = Literal["missing", "differs", "unknown", "unseen", "lost"]
"""Not there; there with another content; stored nobody knows where; in a bucket that cannot be
looked into; missing, and given up by its provider."""


@dataclass(frozen=True, kw_only=True)
class FileProblem:
    """A file that is not as it was stored."""

    kind: Kind
    output: Output
    says: str


@dataclass(frozen=True, kw_only=True)
class NightFiles:
    """What a look at a night's files found."""

    night: Night
    files: int
    """How many should be there."""
    problems: Sequence[FileProblem]
    fetched: Sequence[str] = ()
    """Where those are now that were missing and could be collected again."""


def verify_night(night: Night, ledger: RunLedger, store: ImageStore) -> NightFiles:
    """Check each stored file of a night: present, with its size and checksum.

    A closed night is checked by its archive. Free of charge; safe to repeat. The only change is
    that the bucket of files of the release before is noted, where it can be told.
    """
    problems: list[FileProblem] = []
    files, looks = 0, _Looks(store)
    archived = archived_night(night, ledger, store)
    pages = archived.pages_with_outputs() if archived else None
    with ThreadPoolExecutor(LOOKS, thread_name_prefix="verify") as pool:
        for _, outputs in pages or pages_with_locations(ledger, store, night):
            each = [output for group in outputs.values() for output in group if _counts(output)]
            files += len(each)
            problems += [problem for problem in pool.map(looks.look, each) if problem]
    if archived:
        problems = [problem for problem in problems if problem.says]
    else:
        problems = list(_noted(night, ledger, store, problems))
    return NightFiles(night=night, files=files, problems=problems)


def repair_night(checked: NightFiles, ports: Workplace, *, owner: str) -> NightFiles:
    """Collect again what is missing, through the accounts it was bought with; look once more.

    It and the night's tables go to the bucket and prefix of now, wherever they were before.
    What the provider has no more is noted as lost: its row is not complete any more.

    Raises: NightClosed; LeaseLost, when another run keeps collecting this night; StorageError,
    ConfigurationError.
    """
    missing: dict[str, dict[int, StoredFacts]] = defaultdict(dict)
    for output in (problem.output for problem in checked.problems if problem.kind == "missing"):
        if output.stored is not None:
            missing[output.submission_key][output.output_index] = output.stored
    if not missing:
        return checked
    refuse_closed(checked.night, ports.ledger)
    lease = collect_lease(checked.night)
    with held_lease(ports, lease, owner, wait_seconds=LEASE_WAIT_SECONDS):
        for key, each in missing.items():
            ports.ledger.record_missing(key, each, f"{LOST}it is not in the bucket any more")
        collect_night(checked.night, ports, owner=owner)
    now = ports.ledger.outputs_of(list(missing))
    fetched = [
        uri_of(output.stored) or output.stored.s3_key
        for key, each in missing.items()
        for output in now.get(key, ())
        if output.stored is not None and output.output_index in each
    ]
    return replace(verify_night(checked.night, ports.ledger, ports.store), fetched=fetched)


def _counts(output: Output) -> bool:
    return output.stored is not None or (output.problem or "").startswith(LOST)


class _Looks:
    """Looks at files; a bucket that fails once is not tried again for each further file."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._closed: dict[str, str] = {}

    def look(self, output: Output) -> FileProblem | None:
        """Return what is wrong with one file."""
        facts = output.stored
        if facts is None:
            return FileProblem(kind="lost", output=output, says=output.problem or "")
        bucket = facts.bucket or self._store.bucket
        if bucket not in self._closed:
            try:
                stored_object = store_of(self._store, facts).inspect(facts.s3_key)
            except (StorageError, ConfigurationError) as error:
                self._closed[bucket] = str(error)
            else:
                return _compared(output, facts, stored_object)
        says = f"s3://{bucket}/{facts.s3_key}: {self._closed[bucket]}"
        return FileProblem(kind="unseen", output=output, says=says)


def _compared(output: Output, facts: StoredFacts, seen: StoredObject | None) -> FileProblem | None:
    uri = uri_of(facts)
    if uri is None:
        return _of_unknown_place(output, facts, seen)
    if seen is None:
        return FileProblem(kind="missing", output=output, says=uri)
    if _same(facts, seen):
        return None
    says = (
        f"{uri} has {seen.size_bytes} bytes, SHA-256 {str(seen.sha256)[:12]}…; stored were "
        f"{facts.size_bytes} bytes, {facts.sha256[:12]}…"
    )
    return FileProblem(kind="differs", output=output, says=says)


def _same(facts: StoredFacts, seen: StoredObject) -> bool:
    return (seen.size_bytes, seen.sha256) == (facts.size_bytes, facts.sha256)


def _of_unknown_place(output: Output, facts: StoredFacts, seen: StoredObject | None) -> FileProblem:
    """Return whether a file that may be anywhere is here: `says` is empty then."""
    here = seen is not None and _same(facts, seen)
    says = "" if here else f"{facts.s3_key}: stored by an earlier release, in a bucket not noted"
    return FileProblem(kind="unknown", output=output, says=says)


def _noted(
    night: Night, ledger: RunLedger, store: ImageStore, problems: Iterable[FileProblem]
) -> Iterator[FileProblem]:
    """Note the bucket of files that turned out to be here; return the other problems."""
    here: dict[str, list[int]] = defaultdict(list)
    for problem in problems:
        if problem.says:
            yield problem
        else:
            here[problem.output.submission_key].append(problem.output.output_index)
    if here:
        ledger.note_bucket(night, here, store.bucket)


@dataclass(frozen=True, kw_only=True)
class MissingFiles:
    """Stored files that the listings do not have."""

    files: int = 0
    """Not there, or of another size."""
    unseen: int = 0
    """In folders that could not be listed."""
    why_unseen: str = ""


def missing_files(night: Night, ledger: RunLedger, store: ImageStore) -> MissingFiles:
    """Compare what the ledger calls stored with listings of the folders that it names.

    Names and sizes are compared, no contents: `verify` does that. Free of charge.
    """
    folders = _Folders(store)
    files = unseen = 0
    for _, outputs in pages_with_locations(ledger, store, night):
        stored = [output.stored for each in outputs.values() for output in each if output.stored]
        for facts in stored:
            sizes = folders.sizes(facts)
            if sizes is None:
                unseen += 1
            elif sizes.get(facts.s3_key) != facts.size_bytes:
                files += 1
    return MissingFiles(files=files, unseen=unseen, why_unseen=folders.why_unseen)


class _Folders:
    """Lists each folder once, when the first file in it is met."""

    def __init__(self, store: ImageStore) -> None:
        self._store = store
        self._listed: dict[tuple[str | None, str], Mapping[str, int] | None] = {}
        self.why_unseen = ""

    def sizes(self, facts: StoredFacts) -> Mapping[str, int] | None:
        """Return the sizes of the files beside this one, by key; None: they cannot be listed."""
        folder = facts.s3_key.rpartition("/")[0] + "/"
        place = (facts.bucket, folder)
        if place not in self._listed:
            self._listed[place] = self._list(store_of(self._store, facts), folder)
        return self._listed[place]

    def _list(self, store: ImageStore, folder: str) -> Mapping[str, int] | None:
        try:
            return {listed.key: listed.size_bytes for listed in store.list_objects(folder)}
        except (StorageError, ConfigurationError) as error:
            self.why_unseen = str(error)
            return None
