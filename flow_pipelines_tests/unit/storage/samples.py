"""Small pictures, submissions and outputs for tests of the bucket and the reports."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import Any

from PIL import Image

from flow_pipelines.model import Night, Output, StoredFacts, Submission, SubmissionState

NIGHT = Night("posters", "2026-11-21")
PLANNED_AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def picture(
    image_format: str = "PNG", size: tuple[int, int] = (40, 30), mode: str = "RGB", seed: int = 0
) -> bytes:
    """Make a picture of noise: nothing of it can be lost without a decoder noticing."""
    pixels = Random(seed).randbytes(size[0] * size[1] * len(mode))
    return encoded(Image.frombytes(mode, size, pixels), image_format)


def encoded(image: Image.Image, image_format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


SUBMISSION = Submission(
    submission_key="0123456789abcdef",
    night=NIGHT,
    prompt_id="p1",
    row_number=0,
    copy=0,
    generation=0,
    prompt="a lighthouse",
    seed=7,
    provider="floyo",
    resource="floyo",
    workflow="sd15.json",
    workflow_version="w1",
    parameters={"6::text": "a lighthouse"},
    content_hash="c",
    request_hash="r",
    state=SubmissionState.SUCCEEDED,
    planned_at=PLANNED_AT,
)


def submission(**changes: Any) -> Submission:
    return replace(SUBMISSION, **changes)


def output(index: int = 0, *, key: str = SUBMISSION.submission_key, **changes: Any) -> Output:
    """Make an output that is stored, unless `changes` say otherwise."""
    facts = StoredFacts(
        s3_key=f"flow/posters/2026-11-21/images/p1.0.{key[:8]}.{index}.png",
        media_type="image/png",
        size_bytes=1000 + index,
        sha256=f"{index:064x}",
        width=768,
        height=512,
        bucket="pictures",
    )
    made = Output(
        submission_key=key,
        output_index=index,
        output_id=f"file-{index}",
        kind="file",
        file_name=f"ComfyUI_{index:05}_.png",
        stored=facts,
    )
    return replace(made, **changes)
