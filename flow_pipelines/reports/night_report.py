"""All that shows a night's pictures. Each is loaded once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flow_pipelines.reports.contact_sheet import ContactSheet
from flow_pipelines.reports.gallery import gallery_pages
from flow_pipelines.reports.pictures import Broken, small_pictures
from flow_pipelines.reports.preview import MOSAIC_TILES, mosaic_markdown, preview_markdown
from flow_pipelines.reports.row_view import RowView

if TYPE_CHECKING:
    from PIL.Image import Image


_EXAMPLE_PIXELS = 400


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
