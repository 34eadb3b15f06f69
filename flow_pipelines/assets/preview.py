"""What a materialization of `<name>/images` shows at a glance."""

from collections.abc import Iterator

from flow_pipelines.lifecycle import NightSummary
from flow_pipelines.model.errors import FlowPipelinesError
from flow_pipelines.model.wording import money
from flow_pipelines.reports.preview import preview_markdown
from flow_pipelines.storage.contract import ImageStore
from flow_pipelines.storage.places import read_stored

MAX_PREVIEW_BYTES = 32 * 1024 * 1024


def preview(summary: NightSummary, store: ImageStore) -> str:
    """Return one sentence and a strip of the first images as markdown. No picture makes it fail."""
    return preview_markdown(_images(summary, store), sentence(summary))


def sentence(summary: NightSummary) -> str:
    """Say how a night went."""
    told = [
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
    rest = f"; {', '.join(told)}" if told else ""
    return (
        f"{summary.images} images of {summary.succeeded} of {summary.rows} rows, "
        f"{money(summary.cost_usd)}{rest}."
    )


def _images(summary: NightSummary, store: ImageStore) -> Iterator[bytes]:
    for facts in summary.pictures:
        try:
            content = read_stored(store, facts, max_bytes=MAX_PREVIEW_BYTES)
        except FlowPipelinesError:
            continue  # a preview is not worth an error: the image itself is stored
        if content is not None:
            yield content
