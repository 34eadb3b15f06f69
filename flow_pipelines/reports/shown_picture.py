"""What stands in a picture's place: the picture, or words that say why there is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flow_pipelines.reports.pictures import Broken, PictureBudget
from flow_pipelines.reports.row_view import SUCCEEDED, RowView

if TYPE_CHECKING:
    from PIL.Image import Image


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
