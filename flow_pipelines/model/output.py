"""Outputs of provider runs, how one is recognized again, and what a provider says about a run."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Literal

from flow_pipelines.model.states import SubmissionState

OutputKind = Literal["file", "text"]
Verified = Literal["decoded", "recognized", "as_is", "damaged"]
"""How far a stored file was looked into: every pixel or character, its first bytes, not at all;
`damaged`: it breaks, or is not what was promised, and nothing better came."""


LOST = "lost: "
"""Prefix of `Output.problem` for an output that was stored, is missing now and is not recovered."""
MAX_OUTPUT_BYTES = 512 * 1024 * 1024
"""Of one file, unless somebody says otherwise."""
NEVER = 2**62
"""No file has so many bytes: what is settled above them is never fetched."""


@dataclass(frozen=True, kw_only=True)
class OutputRef:
    """One output as the provider names it."""

    output_id: str
    """Durable name at the provider: what an output is recognized by when seen again."""
    kind: OutputKind = "file"
    file_name: str | None = None
    """The provider's file name. Never used as a path."""
    media_type: str | None = None
    """The provider's word; `image/*` where it only says that it is a picture."""
    size_bytes: int | None = None
    node: str | None = None
    """Which node or named output of the workflow made it."""
    former_ids: tuple[str, ...] = ()
    """Ids that versions before, or answers that tell less, gave the same output."""
    place: int | None = None
    """Where it stands among its run's outputs, where ids once came from links; else None."""
    url: str | None = field(default=None, repr=False)
    """A link that opens it; never printed, and stored only sealed with the account's key."""
    text: str | None = None
    """The content itself, for `kind="text"`."""


def with_names_apart(refs: Iterable[OutputRef]) -> tuple[OutputRef, ...]:
    """Return outputs names of their own where several that differ share one.

    An output of a workflow may be a list of pictures; under one name, only one would be kept.
    What is added comes from the content's address without its query, or from the text itself:
    signatures change from poll to poll, and a name must last.
    """
    listed = [(ref, _content_name(ref)) for ref in refs]
    sharing = Counter(output_id for output_id, _ in {(ref.output_id, name) for ref, name in listed})
    return tuple(
        replace(ref, output_id=f"{ref.output_id} {name}") if sharing[ref.output_id] > 1 else ref
        for ref, name in listed
    )


def _content_name(ref: OutputRef) -> str:
    content = ref.text or (ref.url or "").partition("?")[0]
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()[:12]


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """One answer about one provider run, in our words."""

    provider_run_id: str
    state: SubmissionState | None
    """submitted, queued, running, succeeded, failed or canceled; None: a status that the
    provider does not document, so the run is polled on."""
    provider_status: str
    label: str | None = None
    """What the provider says that the run is called, where it takes our label for that."""
    created_at: datetime | None = None
    """When the provider says that it created the run, by the provider's clock."""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    run_ms: int | None = None
    flotime_ms: int | None = None
    charged_usd: Decimal | None = None
    """What the provider says it charged."""
    has_run: bool = False
    """Whether an earlier answer showed it running."""
    outputs: tuple[OutputRef, ...] = ()
    error_code: str | None = None
    error_message: str | None = None
    account_problem: bool = False
    """The run ended for lack of balance or credit: no further row would fare better."""
    progress: float | None = None
    """0 … 1, where the provider tells."""
    poll_after_seconds: float | None = None
    """The provider's advice, where it gives one."""


@dataclass(frozen=True, kw_only=True)
class Receipt:
    """A provider's proof that it accepted a submission."""

    provider_run_id: str
    provider_status: str | None = None
    report: RunReport | None = None
    """Where the answer to a submit already tells more than the id."""
    created_at: datetime | None = None
    """When the provider says that it created the run, by the provider's clock; of a run that the
    bucket's table names, when it was accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredFacts:
    """What was verified about an output that is in the bucket."""

    s3_key: str
    media_type: str
    size_bytes: int
    sha256: str
    width: int | None
    height: int | None
    bucket: str | None = None
    """Where `s3_key` is; None: stored by a version that did not note it."""
    verified: Verified | None = None
    """None: stored by a version that kept nothing but what it decoded or recognized."""
    verified_why: str | None = None
    """Why it was not looked into further, or what is wrong with it."""
    file_name: str | None = None
    """The name that its download gave it."""

    @property
    def is_damaged(self) -> bool:
        """Return whether a better copy of it would take its place."""
        return self.verified == "damaged"

    @property
    def is_media(self) -> bool:
        """Return whether it is a picture, video, sound or 3D model, as far as anybody can tell."""
        return self.verified in {None, "decoded", "recognized"}

    @property
    def is_shown(self) -> bool:
        """Return whether it may be drawn or linked on a page: a picture that was decoded."""
        return self.verified in {None, "decoded"} and self.media_type.startswith("image/")


@dataclass(frozen=True, kw_only=True, slots=True)
class Output:
    """One output as the ledger has it."""

    submission_key: str
    output_index: int
    """Assigned when first seen, kept for ever."""
    output_id: str
    kind: OutputKind
    file_name: str | None
    stored: StoredFacts | None = None
    """None: not in the bucket yet."""
    problem: str | None = None
    """Why it could not be stored, last time somebody tried."""
    attempts: int = 0
    stored_at: datetime | None = None
    sealed_link: str | None = field(default=None, repr=False)
    """What a poll gave to open it, until it is stored; only the account's key unseals it."""
    node: str | None = None
    """Which node or named output of the workflow made it, where the provider tells."""
    declared_type: str | None = None
    """The provider's word for its media type."""
    declared_bytes: int | None = None
    """The provider's word for its size."""
    doubted_at: datetime | None = None
    """When something came in its place for the first time that cannot be it."""
    settled_above: int | None = None
    """It is not fetched while at most so many bytes are stored of a file; None: it is."""

    @property
    def is_missing(self) -> bool:
        """Return whether it is still to be brought to the bucket."""
        return self.stored is None and self.settled_above is None


_HASH_OF_A_LINK = re.compile(r"[0-9a-f]{24}")
"""What an output was named by where its only name was a link, before it was node and position."""

_Test = Callable[[OutputRef, Output], bool]


def known_again(refs: Iterable[OutputRef], known: Sequence[Output]) -> dict[int, OutputRef]:
    """Return by `output_index` what a fresh answer says of each output that it names.

    By id; by an id of before; and where an id of before came from a link that is signed anew in
    its path, by its place among the outputs. An output is named once, however often the answer
    names it.
    """
    recognized: dict[int, OutputRef] = {}
    left = list(refs)
    for test in (_same_id, _former_id, _same_place):
        named = {ref.output_id for ref in recognized.values()}
        unnamed = [ref for ref in left if ref.output_id not in named]
        for index, ref in _pairs(
            unnamed, [o for o in known if o.output_index not in recognized], test
        ):
            recognized.setdefault(index, ref)
    return recognized


def names_nothing_else(refs: Iterable[OutputRef], known: Sequence[Output]) -> bool:
    """Return whether every output of an answer is one that is known, and it names any."""
    ids = {ref.output_id for ref in refs}
    return bool(ids) and ids == {ref.output_id for ref in known_again(refs, known).values()}


def is_named_by_link(output: Output) -> bool:
    """Return whether its id came from a link, which may never come again."""
    return _HASH_OF_A_LINK.fullmatch(output.output_id) is not None


def _pairs(
    refs: Sequence[OutputRef], known: Sequence[Output], test: _Test
) -> Iterator[tuple[int, OutputRef]]:
    taken: Counter[str] = Counter()
    for output in known:
        for ref in refs:
            if not taken[ref.output_id] and test(ref, output):
                taken[ref.output_id] += 1
                yield output.output_index, ref
                break


def _same_id(ref: OutputRef, output: Output) -> bool:
    return ref.output_id == output.output_id


def _former_id(ref: OutputRef, output: Output) -> bool:
    return output.output_id in ref.former_ids


def _same_place(ref: OutputRef, output: Output) -> bool:
    return ref.place == output.output_index and is_named_by_link(output)
