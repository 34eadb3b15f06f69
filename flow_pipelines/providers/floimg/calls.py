"""How every call of FloImg's API is made, and what its answers say beside their content."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import (
    ApiAnswer,
    ApiDefaults,
    ErrorBody,
    Quota,
    Verdict,
    documented,
)

NAME = "floimg"
ENDPOINTS = "floimg-web docs/api/endpoints"

WORKFLOW_FAILED = "workflow_failed"
"""Comes as HTTP 500, but is the end of one execution: sending it again would run it again."""
VERDICTS: Mapping[int | str, Verdict] = {WORKFLOW_FAILED: Verdict.REJECTED}
"""The other documented codes say the same as the HTTP status that they come with."""

CALLS = documented(
    ENDPOINTS,
    execute_workflow="POST /workflows/execute",
    get_execution="GET /workflows/executions/{executionId}",
    list_workflows="GET /workflows",
    get_workflow="GET /workflows/{workflowId}",
    upload_image="POST /storage/upload",
    list_images="GET /storage/images",
    get_image="GET /storage/images/{imageId}",
    delete_image="DELETE /storage/images/{imageId}",
    list_projects="GET /projects",
    create_project="POST /projects",
    open_output="GET {output.url}",
)
"""Methods of the client that bear the names of FloImg's headings, `Get Image` and the like."""


def read_error(answer: ApiAnswer) -> ErrorBody:
    """Read `{error: {code, message, details?, retryAfter?}}`.

    Source: floimg-web docs/api/endpoints; for `retryAfter` docs/api/rate-limits.
    """
    error = answer.json()["error"]
    details = error.get("details")
    return ErrorBody(
        code=read.code(error.get("code")),
        message=read.text(error.get("message")) or "",
        fields=[details] if isinstance(details, dict) else read.objects(details) or (),
        retry_after_seconds=read.count(error.get("retryAfter")),
    )


def read_quota(answer: ApiAnswer) -> Quota:
    """Read the headers of every answer; `Reset` is in Unix seconds.

    Source: floimg-web docs/api/rate-limits. Raises: LookupError, ValueError, OverflowError.
    """
    remaining = int(answer.headers["x-ratelimit-remaining"])
    reset = int(answer.headers["x-ratelimit-reset"])
    text = answer.headers.get("x-ratelimit-limit", "")
    limit = int(text) if text.isdecimal() else None
    return Quota(remaining=remaining, resets_at=datetime.fromtimestamp(reset, UTC), limit=limit)


API = ApiDefaults(
    provider=NAME,
    source=ENDPOINTS,
    verdicts=VERDICTS,
    read_error=read_error,
    read_quota=read_quota,
)
