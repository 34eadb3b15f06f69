"""How a submission is shown on pages and sheets: its pictures, or words on why there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from flow_pipelines.model.output import Output, StoredFacts
from flow_pipelines.model.states import OUTCOME_UNKNOWN, UNDER_WAY, SubmissionState
from flow_pipelines.model.submission import CostBasis, Submission
from flow_pipelines.model.wording import duration, money, reported_problem, why_no_picture
from flow_pipelines.reports.pictures import Broken, LoadPicture, PictureBudget
from flow_pipelines.storage.tables import cost_shares

if TYPE_CHECKING:
    from PIL.Image import Image


_S = SubmissionState

SUCCEEDED = "succeeded"
NOT_STORED = "not stored"
NOT_ENDED = "not ended"
DAMAGED = "damaged"
STORED = "stored"
"""There are files, and none of them is a picture, video or sound."""
_PROBLEMS = frozenset({"failed", "canceled", "unresolved", NOT_STORED, DAMAGED})
_RUN_SUCCEEDED = frozenset({SUCCEEDED, NOT_STORED, DAMAGED, STORED})


@dataclass(frozen=True, kw_only=True)
class StoredPictures:
    """The stored files, as a page reaches them."""

    bucket: str
    folder: str
    """Key of the folder that links may lead into; a file elsewhere has none."""
    path: str = ""
    """From the page to `folder`: empty, or with a slash at its end."""
    get: Callable[[StoredFacts], bytes | None]
    """Returns a stored file's content, None where it cannot be shown."""

    def link(self, facts: StoredFacts) -> str:
        """Return the path from the page to a file; empty where it is elsewhere."""
        start = f"{self.folder}/" if self.folder else ""
        inside = facts.s3_key.startswith(start) and facts.bucket in {None, self.bucket}
        return self.path + facts.s3_key.removeprefix(start) if inside else ""


@dataclass(frozen=True, kw_only=True)
class RowView:
    """One picture of a submission with its facts, or the reason why there is none."""

    prompt_id: str
    prompt: str
    copy: int = 0
    state: str = SUCCEEDED
    reason: str = ""
    """Why there is no picture, or what went wrong nevertheless."""
    provider: str = ""
    provider_run_id: str = ""
    seed: int | None = None
    cost_usd: Decimal | None = None
    """This picture's share of its run's cost."""
    cost_estimated: bool = False
    cost_is_unknown: bool = False
    """A provider run exists, or may exist, and nobody knows yet what it costs."""
    run_ms: int | None = None
    run_ms_is_bound: bool = False
    flotime_ms: int | None = None
    load: LoadPicture | None = None
    """Loads the picture; None: there is none to show."""
    href: str = ""
    """Path of the stored file, relative to the page: a downloaded folder opens it offline."""
    image: int = 1
    images: int = 0
    """This is the picture `image` of `images` that the run made."""
    size: str = ""
    """Width and height as stored."""
    also_stored: str = ""
    """Names of what else the run gave, which is never shown."""

    @property
    def is_problem(self) -> bool:
        """Return whether it is marked: a picture was to come, and will not by itself."""
        return self.state in _PROBLEMS

    @property
    def run_succeeded(self) -> bool:
        """Return whether the provider finished the run, whatever is stored of it."""
        return self.state in _RUN_SUCCEEDED

    @property
    def cost(self) -> str:
        """Return the cost in words, empty for what was not bought."""
        known = money(self.cost_usd, estimated=self.cost_estimated)
        return known or ("cost unknown" if self.cost_is_unknown else "")

    @property
    def duration(self) -> str:
        """Return how long the run took, or took at most; empty where nobody knows."""
        return duration(self.run_ms, at_most=self.run_ms_is_bound)

    @property
    def position(self) -> str:
        """Return `2 of 3` where the run made several pictures."""
        return f"{self.image} of {self.images}" if self.images > 1 else ""

    def facts(self, provider: str = "") -> Iterator[tuple[str, str]]:
        """Yield names and values of all that is known, for the large view.

        `provider` replaces the provider's name.
        """
        facts = {
            "Provider": provider or self.provider,
            "State": self.state,
            "Reason": self.reason if self.load is not None else "",
            "Row": self.prompt_id,
            "Copy": self.copy + 1 if self.copy else "",
            "Picture": self.position,
            "Seed": self.seed,
            "Cost": self.cost.removeprefix("cost "),
            "Duration": self.duration,
            "FloTime": duration(self.flotime_ms),
            "Pixels": self.size,
            "Provider run": self.provider_run_id,
            "File": self.href,
            "Also stored": self.also_stored,
        }
        return ((name, str(value)) for name, value in facts.items() if value not in {None, ""})


def night_views(
    rows: Iterable[Submission],
    outputs: Mapping[str, Sequence[Output]],
    pictures: StoredPictures,
) -> Iterator[RowView]:
    """Yield the views of a night in the order of its table. No picture is loaded yet.

    Args:
        rows: Of each row and copy the submission that counts.
        outputs: By submission key.
        pictures: Where the night's folder is.
    """
    for row in rows:
        yield from row_views(row, outputs.get(row.submission_key, ()), pictures)


def row_views(
    row: Submission, outputs: Sequence[Output], pictures: StoredPictures
) -> Iterator[RowView]:
    """Yield a view for each picture of a submission, and one more for what it lacks."""
    files = [output for output in outputs if output.kind == "file"]
    stored = [output.stored for output in files if output.stored]
    media = [facts for facts in stored if facts.is_media or facts.is_damaged]
    others = _names([facts for facts in stored if facts not in media])
    shares = cost_shares(row.cost_usd, max(len(stored), 1))
    for number, facts in enumerate(media, start=1):
        yield replace(
            _stored_view(row, facts, pictures),
            cost_usd=shares[stored.index(facts)],
            image=number,
            images=len(media),
            also_stored=others,
        )
    if not stored or any(output.is_missing for output in files):
        yield replace(
            _view(row),
            state=NOT_STORED if row.state is _S.SUCCEEDED else _state(row),
            reason=why_no_picture(row, files),
            cost_usd=None if stored else row.cost_usd,
        )
    elif not media:
        yield replace(_view(row), state=STORED, reason=others, also_stored=others)


def whole_row_view(row: Submission, outputs: Sequence[Output], pictures: StoredPictures) -> RowView:
    """Return one view of a submission: its first picture that can be shown, and the whole cost."""
    views = row_views(row, outputs, pictures)
    first = min(views, key=lambda view: (view.load is None, view.state != SUCCEEDED))
    files = [output.stored for output in outputs if output.kind == "file" and output.stored]
    return replace(
        first,
        state=first.state if row.state is _S.SUCCEEDED else _state(row),
        cost_usd=row.cost_usd,
        image=1,
        images=sum(facts.is_media for facts in files),
    )


def _stored_view(row: Submission, facts: StoredFacts, pictures: StoredPictures) -> RowView:
    """Return the view of a stored file; what may be a page with a script is not even linked."""
    if facts.is_damaged:
        reason = f"{_names([facts])}: {facts.verified_why or ''}"
        return replace(_view(row), state=DAMAGED, reason=reason)
    view = replace(
        _view(row),
        load=partial(pictures.get, facts) if facts.is_shown else None,
        href=pictures.link(facts),
        size=f"{facts.width} × {facts.height}" if facts.width and facts.height else "",
    )
    reason = f"{facts.media_type}: {facts.verified_why or 'no picture'}"
    return view if facts.is_shown else replace(view, reason=reason)


def _view(row: Submission) -> RowView:
    return RowView(
        prompt_id=row.prompt_id,
        prompt=row.prompt,
        copy=row.copy,
        state=_state(row),
        reason=reported_problem(row),
        provider=row.provider,
        provider_run_id=row.provider_run_id or "",
        seed=row.seed,
        cost_usd=row.cost_usd,
        cost_estimated=row.cost_basis is CostBasis.ESTIMATED,
        cost_is_unknown=row.cost_usd is None and _may_have_run(row),
        run_ms=row.run_ms,
        run_ms_is_bound=row.run_ms_is_bound,
        flotime_ms=row.flotime_ms,
    )


def _state(row: Submission) -> str:
    return NOT_ENDED if row.state in UNDER_WAY else row.state.value


def _may_have_run(row: Submission) -> bool:
    """Return whether a provider run exists, or may exist: a refused or canceled row has none."""
    sent = row.state not in {_S.PLANNED, _S.SKIPPED} and row.submitting_at is not None
    return sent and (row.provider_run_id is not None or row.state in OUTCOME_UNKNOWN)


def _names(files: Sequence[StoredFacts]) -> str:
    return ", ".join(facts.s3_key.rpartition("/")[2] for facts in files)


class ShownPicture(NamedTuple):
    """A picture as a page has it, or the words in its place."""

    url: str = ""
    """Data URL of the picture, which needs no escaping; empty: there is none."""
    width: int = 0
    height: int = 0
    word: str = ""
    reason: str = ""


LEFT_OUT = ShownPicture(
    word="stored", reason="Too many pictures for one file: open the stored one."
)


def shown_picture(
    view: RowView, picture: Image | Broken | None, budget: PictureBudget
) -> ShownPicture:
    """Return a loaded picture as large as the page has room for, or why there is none."""
    if picture is None or picture == "broken":
        return absence(view, broken=picture is not None)
    url = budget.data_url(picture)
    if url is None:
        return LEFT_OUT
    return ShownPicture(url=url, width=picture.width, height=picture.height)


def absence(view: RowView, *, broken: bool = False) -> ShownPicture:
    """Return the words for a picture that could not be loaded, or that there is none to load."""
    if view.load is None and view.state != SUCCEEDED:
        return ShownPicture(word=view.state, reason=view.reason)
    reason = "The stored file is too large, or gone."
    if broken:
        reason = "The stored file does not decode here."
    elif view.load is None and view.reason:
        reason = view.reason
    return ShownPicture(word="cannot be shown", reason=reason)
