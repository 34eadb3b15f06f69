"""Everything that shows a night's pictures, from one look at each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flow_pipelines.reports.cards import Card
from flow_pipelines.reports.contact_sheet import ContactSheet
from flow_pipelines.reports.gallery import gallery_pages
from flow_pipelines.reports.pictures import Broken, small_pictures
from flow_pipelines.reports.preview import MOSAIC_TILES, mosaic_markdown, preview_markdown

if TYPE_CHECKING:
    from PIL.Image import Image


_EXAMPLE = 400


class SheetFile(NamedTuple):
    """One file to store beside the night's pictures."""

    name: str
    media_type: str
    content: bytes


class NightSheet:
    """A night's gallery, its contact sheet, and what a materialization shows of them.

    Memory stays bounded, however large the night is: a page, the sheet's tiles, a handful of whole
    pictures.
    """

    def __init__(self, title: str, subtitle: str, cards: Sequence[Card]) -> None:
        """Take what is to be shown. Nothing is loaded yet."""
        self._title, self._subtitle, self._cards = title, subtitle, cards
        self._examples: list[Image] = []

    def files(self) -> Iterator[SheetFile]:
        """Return the gallery's pages, then `contact_sheet.jpg`. Loads each picture once."""
        sheet = ContactSheet(self._title, self._subtitle, len(self._cards))
        for name, content in gallery_pages(
            self._title, self._subtitle, self._cards, self._drawn(sheet)
        ):
            yield SheetFile(name, "text/html; charset=utf-8", content)
        yield SheetFile("contact_sheet.jpg", "image/jpeg", sheet.jpeg())

    @property
    def preview(self) -> str:
        """Return markdown that is shown in place. Of use once the files were written."""
        return preview_markdown(self._examples, self._subtitle)

    @property
    def pictures(self) -> str:
        """Return markdown with the first pictures, that is shown after a click. Likewise."""
        return mosaic_markdown(self._examples, self._subtitle)

    def _drawn(self, sheet: ContactSheet) -> Iterator[Image | Broken | None]:
        pictures = small_pictures(card.load for card in self._cards)
        for card, picture in zip(self._cards, pictures, strict=True):
            sheet.add(card, picture)
            if len(self._examples) < MOSAIC_TILES and not isinstance(picture, str | None):
                small = picture.copy()
                small.thumbnail((_EXAMPLE, _EXAMPLE))
                self._examples.append(small)
            yield picture
