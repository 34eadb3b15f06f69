"""The preview of a materialized `<name>/images`; reading stored pictures for reports."""

from flow_pipelines.lifecycle import NightSummary
from flow_pipelines.model import StoredFacts
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.model.wording import money
from flow_pipelines.reports.preview import preview_markdown
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.places import read_stored

_MAX_BYTES = 32 * 1024 * 1024


def preview(summary: NightSummary, store: ImageStore) -> str:
    """Return one sentence and a strip of the first images as markdown. No picture makes it fail."""
    pictures = (stored_picture(store, facts) for facts in summary.pictures)
    return preview_markdown(filter(None, pictures), sentence(summary))


def sentence(summary: NightSummary) -> str:
    """Return in one sentence how a night went."""
    counts = [
        f"{count} {word}"
        for count, word in (
            (summary.failed, "failed"),
            (summary.canceled, "canceled"),
            (summary.unresolved, "unresolved"),
            (summary.skipped, "skipped"),
            (summary.in_flight, "not ended yet"),
        )
        if count
    ]
    others = f"; {', '.join(counts)}" if counts else ""
    return (
        f"{summary.images} images of {summary.succeeded} of {summary.rows} rows, "
        f"{money(summary.cost_usd)}{others}."
    )


def stored_picture(store: ImageStore, facts: StoredFacts) -> bytes | None:
    """Return a stored picture; None where it is too large to draw, gone, or in a closed bucket."""
    try:
        return read_stored(store, facts, max_bytes=_MAX_BYTES)
    except FlowPipelinesError:
        return None  # what is shown is not worth an error: the picture itself is stored
