"""What fits into a materialization: a strip of thumbnails, and what failed."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from flow_pipelines.model.output import Output
from flow_pipelines.model.states import SubmissionState
from flow_pipelines.model.submission import Submission
from flow_pipelines.reports.markdown import plain

if TYPE_CHECKING:
    from PIL.Image import Image

# Dagster shows markdown in place only below 1,000 characters; from there on it is a link.
MAX_CHARACTERS = 999
TILES = 4
_TILE = 32
_GAP = 2
_SENTENCE = 200
_CELL = 300

_TOLD = frozenset({
    SubmissionState.FAILED,
    SubmissionState.CANCELED,
    SubmissionState.UNRESOLVED,
    SubmissionState.SKIPPED,
})  # fmt: skip


def preview_markdown(images: Iterable[bytes], sentence: str) -> str:
    """Give a sentence and a strip of the first four images, 32 pixels each, as a data URL.

    The whole stays below 1,000 characters, whatever the images are: first with less quality, then
    with fewer images, at last with the sentence alone.
    """
    sentence = plain(" ".join(sentence.split())[:_SENTENCE])
    tiles = [tile for tile in map(_tile, _first(images, TILES)) if tile is not None]
    while tiles:
        strip = _strip(tiles)
        for quality in (60, 40, 25, 10, 1):
            text = f"{sentence}\n\n![pictures](data:image/webp;base64,{_webp(strip, quality)})"
            if len(text) <= MAX_CHARACTERS:
                return text
        tiles.pop()
    return sentence


def failures_rows(
    submissions: Iterable[Submission],
    outputs: Mapping[str, Sequence[Output]] | None = None,
    *,
    limit: int = 100,
) -> list[dict[str, str | int | None]]:
    """Give a row for everything that did not become a picture, with its reason.

    Failed, canceled, unresolved and skipped submissions, and outputs that could not be stored.
    Past `limit` one last row says how many more there are.
    """
    rows: list[dict[str, str | int | None]] = []
    for submission in submissions:
        if submission.state in _TOLD:
            rows.append(_failure(submission, submission.state.value, _reason(submission)))
        rows += [
            _failure(submission, f"output {output.output_index} not stored", output.problem)
            for output in (outputs or {}).get(submission.submission_key, ())
            if output.stored is None and output.problem
        ]
    more = len(rows) - limit
    if more > 0:
        rows = [*rows[:limit], dict.fromkeys(rows[0]) | {"prompt_id": f"… and {more} more"}]
    return rows


def _failure(submission: Submission, what: str, reason: str | None) -> dict[str, str | int | None]:
    return {
        "prompt_id": submission.prompt_id,
        "copy": submission.copy,
        "generation": submission.generation,
        "prompt": submission.prompt[:_CELL],
        "state": what,
        "error_code": submission.error_code,
        "reason": (reason or "no reason was given")[:_CELL],
        "provider_run_id": submission.provider_run_id,
        "submission_key": submission.submission_key,
    }


def _reason(submission: Submission) -> str | None:
    return submission.error_message or submission.reason


def _first(images: Iterable[bytes], count: int) -> list[bytes]:
    return [image for image, _ in zip(images, range(count), strict=False)]


def _tile(image_bytes: bytes) -> Image | None:
    from PIL import Image, ImageOps

    try:
        with Image.open(io.BytesIO(image_bytes)) as image:
            image.draft("RGB", (_TILE, _TILE))
            return ImageOps.fit(image.convert("RGB"), (_TILE, _TILE))
    # A preview is never worth an error: what does not decode is left out of it.
    except Exception:  # noqa: BLE001 - see above
        return None


def _strip(tiles: Sequence[Image]) -> Image:
    from PIL import Image

    width = len(tiles) * (_TILE + _GAP) - _GAP
    strip = Image.new("RGB", (width, _TILE), (255, 255, 255))
    for index, tile in enumerate(tiles):
        strip.paste(tile, (index * (_TILE + _GAP), 0))
    return strip


def _webp(strip: Image, quality: int) -> str:
    buffer = io.BytesIO()
    strip.save(buffer, "WEBP", quality=quality, method=6)
    return base64.b64encode(buffer.getvalue()).decode("ascii")
