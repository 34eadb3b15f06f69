"""All that shows a night: the gallery's pages with every picture, the contact sheet, previews."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from flow_pipelines.reports.contact_sheet import ContactSheet
from flow_pipelines.reports.page import FRAME_BYTES, PAGE_BYTES, render
from flow_pipelines.reports.pictures import Broken, PictureBudget, small_pictures
from flow_pipelines.reports.preview import MOSAIC_TILES, mosaic_markdown, preview_markdown
from flow_pipelines.reports.row_view import RowView, ShownPicture, absence, shown_picture

if TYPE_CHECKING:
    from PIL.Image import Image


VIEWS_A_PAGE = 300
_EXAMPLE_PIXELS = 400
_LONGEST_PROMPTS = (2000, 500, 100)
"""Characters of a prompt: fewer where a page's prompts would leave no room for pictures."""


class _PageLink(NamedTuple):
    """An entry in the list of pages."""

    name: str
    words: str
    is_current: bool


def gallery_pages(
    title: str,
    subtitle: str,
    views: Sequence[RowView],
    pictures: Iterator[Image | Broken | None] | None = None,
) -> Iterator[tuple[str, bytes]]:
    """Yield the pages with their file names: `gallery.html`, and `gallery-2.html` and so on.

    A page holds 300 views in less than 5 MB: the fewer pictures, the larger they are in it. One
    page is in memory at a time.

    Args:
        title: The night, as text.
        subtitle: A sentence on how it went.
        views: In the order in which they are shown.
        pictures: Of all views, in their order; None: the views' own, loaded as they are needed.
    """
    source = small_pictures(view.load for view in views) if pictures is None else pictures
    pages = [views[at : at + VIEWS_A_PAGE] for at in range(0, len(views), VIEWS_A_PAGE)] or [[]]
    for number, shown in enumerate(pages):
        longest_prompt, text_bytes = _text_size(shown)
        content = render(
            "gallery.html",
            title=title,
            subtitle=subtitle,
            pages=list(_page_links(pages, number)),
            total=len(shown),
            states=Counter(view.state for view in shown),
            providers=sorted({view.provider for view in shown if view.provider}),
            views=_with_pictures(shown, source, text_bytes),
            longest_prompt=longest_prompt,
        )
        yield _name(number), content


def _with_pictures(
    views: Sequence[RowView], pictures: Iterator[Image | Broken | None], text_bytes: int
) -> Iterator[tuple[RowView, ShownPicture]]:
    """Yield the views of a page with their pictures, loaded as the page is written."""
    loadable = sum(view.load is not None for view in views)
    budget = PictureBudget(PAGE_BYTES - FRAME_BYTES - text_bytes, loadable)
    for view, picture in zip(views, islice(pictures, len(views)), strict=True):
        yield view, shown_picture(view, picture, budget)


def _text_size(views: Sequence[RowView]) -> tuple[int, int]:
    """Return how long prompts may be for the text to take half a page, and its bytes."""
    longest_prompt = text_bytes = 0
    for longest_prompt in _LONGEST_PROMPTS:
        text_bytes = sum(
            len(render("card.html", view=view, shown=absence(view), longest_prompt=longest_prompt))
            for view in views
        )
        if text_bytes <= PAGE_BYTES // 2:
            break
    return longest_prompt, text_bytes


def _name(page: int) -> str:
    return f"gallery-{page + 1}.html" if page else "gallery.html"


def _page_links(pages: Sequence[Sequence[RowView]], current: int) -> Iterator[_PageLink]:
    for number, views in enumerate(pages):
        first = number * VIEWS_A_PAGE + 1
        problems = sum(view.is_problem for view in views)
        without = f" ({problems} without)" if problems else ""
        words = f"{first}–{first + len(views) - 1}{without}"
        yield _PageLink(_name(number), words, number == current)


class ReportFile(NamedTuple):
    """One file to store beside the night's pictures."""

    name: str
    media_type: str
    content: bytes


class NightReport:
    """A night's gallery, its contact sheet, and what a materialization shows of them.

    Memory stays bounded, however large the night is: a page, the sheet's tiles, a handful of whole
    pictures.
    """

    def __init__(self, title: str, subtitle: str, views: Sequence[RowView]) -> None:
        """Take what is to be shown. Nothing is loaded yet."""
        self._title, self._subtitle, self._views = title, subtitle, views
        self._examples: list[Image] = []

    def files(self) -> Iterator[ReportFile]:
        """Return the gallery's pages, then `contact_sheet.jpg`. Loads each picture once."""
        sheet = ContactSheet(self._title, self._subtitle, len(self._views))
        for name, content in gallery_pages(
            self._title, self._subtitle, self._views, self._pictures(sheet)
        ):
            yield ReportFile(name, "text/html; charset=utf-8", content)
        yield ReportFile("contact_sheet.jpg", "image/jpeg", sheet.jpeg())

    @property
    def preview(self) -> str:
        """Return markdown that is shown in place. Of use once the files were written."""
        return preview_markdown(self._examples, self._subtitle)

    @property
    def pictures(self) -> str:
        """Return markdown with the first pictures, that is shown after a click. Likewise."""
        return mosaic_markdown(self._examples, self._subtitle)

    def _pictures(self, sheet: ContactSheet) -> Iterator[Image | Broken | None]:
        pictures = small_pictures(view.load for view in self._views)
        for view, picture in zip(self._views, pictures, strict=True):
            sheet.add(view, picture)
            if len(self._examples) < MOSAIC_TILES and not isinstance(picture, str | None):
                small = picture.copy()
                small.thumbnail((_EXAMPLE_PIXELS, _EXAMPLE_PIXELS))
                self._examples.append(small)
            yield picture
