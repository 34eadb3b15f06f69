"""A night as cards: one for each picture, and one for each row that became none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial

from flow_pipelines.model.output import Output, StoredFacts
from flow_pipelines.model.states import SubmissionState
from flow_pipelines.model.submission import CostBasis, Submission
from flow_pipelines.reports.pictures import LoadPicture
from flow_pipelines.storage.tables import cost_shares

SUCCEEDED = "succeeded"
NOT_STORED = "not stored"
NOT_ENDED = "not ended"
DAMAGED = "damaged"
NO_PICTURE = "stored"
"""There are files, and none of them is a picture, video or sound."""
IN_VAIN = frozenset({"failed", "canceled", "unresolved", NOT_STORED, DAMAGED})
"""States that are marked: a picture was to come, and will not by itself."""

_AS_IT_IS = frozenset({
    SubmissionState.SUCCEEDED,
    SubmissionState.FAILED,
    SubmissionState.CANCELED,
    SubmissionState.UNRESOLVED,
    SubmissionState.SKIPPED,
})  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Card:
    """One place on the sheet and in the gallery."""

    prompt_id: str
    prompt: str
    copy: int = 0
    state: str = SUCCEEDED
    reason: str = ""
    """Why there is no picture, in words."""
    provider: str = ""
    provider_run_id: str = ""
    seed: int | None = None
    cost_usd: Decimal | None = None
    """This picture's share of its run's cost."""
    cost_estimated: bool = False
    run_ms: int | None = None
    flotime_ms: int | None = None
    load: LoadPicture | None = None
    href: str = ""
    """Path of the stored file, relative to the night's folder."""
    image: int = 1
    images: int = 1
    """This is the picture `image` of `images` that the run made."""
    size: str = ""
    """Width and height as stored."""
    also_stored: str = ""
    """Names of what else the run gave, which is never shown."""

    @property
    def in_vain(self) -> bool:
        """Return whether it is marked."""
        return self.state in IN_VAIN


def night_cards(
    rows: Iterable[Submission],
    outputs: Mapping[str, Sequence[Output]],
    *,
    folder: str,
    bucket: str,
    get: Callable[[StoredFacts], bytes | None],
) -> Iterator[Card]:
    """Return the cards of a night in the order of its table. Nothing is loaded yet.

    Args:
        rows: Of each row and copy the submission that counts.
        outputs: By submission key.
        folder: Key of the night's folder; links are relative to it.
        bucket: Where that is; a picture in another one has no link.
        get: Gives a stored file's content, None where it is not to be shown.
    """
    for row in rows:
        files = [one for one in outputs.get(row.submission_key, ()) if one.kind == "file"]
        stored = [one.stored for one in files if one.stored]
        shown = [one for one in stored if one.is_media or one.is_damaged]
        others = _names([one for one in stored if one not in shown])
        shares = cost_shares(row.cost_usd, max(len(stored), 1))
        for index, facts in enumerate(shown):
            yield replace(
                _stored_card(row, facts, get, _href(facts, folder, bucket)),
                cost_usd=shares[stored.index(facts)],
                image=index + 1,
                images=len(shown),
                also_stored=others,
            )
        missing = [one for one in files if one.is_missing]
        if missing or not stored:
            absent = replace(_card(row), state=_state(row), reason=_reason(row, missing))
            yield absent if not stored else replace(absent, cost_usd=None)
        elif not shown:
            yield replace(_card(row), state=NO_PICTURE, reason=others, also_stored=others)


def _stored_card(
    row: Submission, facts: StoredFacts, get: Callable[[StoredFacts], bytes | None], href: str
) -> Card:
    """Return the card of a stored file; what may be a page with a script is not even linked."""
    if facts.is_damaged:
        why = facts.verified_why or ""
        return replace(_card(row), state=DAMAGED, reason=f"{_names([facts])}: {why}")
    why = f"{facts.media_type}: {facts.verified_why or 'no picture'}"
    return replace(
        _card(row),
        reason="" if facts.is_shown else why,
        load=partial(get, facts) if facts.is_shown else None,
        href=href,
        size=_size(facts),
    )


def _names(files: Sequence[StoredFacts]) -> str:
    return ", ".join(facts.s3_key.rpartition("/")[2] for facts in files)


def _card(row: Submission) -> Card:
    return Card(
        prompt_id=row.prompt_id,
        prompt=row.prompt,
        copy=row.copy,
        state=row.state.value if row.state in _AS_IT_IS else NOT_ENDED,
        reason=row.error_message or row.reason or "",
        provider=row.provider,
        provider_run_id=row.provider_run_id or "",
        seed=row.seed,
        cost_usd=row.cost_usd,
        cost_estimated=row.cost_basis is CostBasis.ESTIMATED,
        run_ms=row.run_ms,
        flotime_ms=row.flotime_ms,
    )


def _state(row: Submission) -> str:
    if row.state is SubmissionState.SUCCEEDED:
        return NOT_STORED
    return row.state.value if row.state in _AS_IT_IS else NOT_ENDED


def _reason(row: Submission, missing: Sequence[Output]) -> str:
    told = row.error_message or row.reason or "; ".join(o.problem for o in missing if o.problem)
    if told or row.state is not SubmissionState.SUCCEEDED:
        return told
    return "not collected yet" if missing else "the provider run ended without a picture"


def _href(facts: StoredFacts, folder: str, bucket: str) -> str:
    beside = facts.s3_key.startswith(f"{folder}/") and facts.bucket in {None, bucket}
    return facts.s3_key.removeprefix(f"{folder}/") if beside else ""


def _size(facts: StoredFacts) -> str:
    return f"{facts.width} × {facts.height}" if facts.width and facts.height else ""
