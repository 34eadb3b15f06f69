"""What FLORA documents of its calls: where, under which errors, and what their refusals prove.

Sources: developer.flora.ai, FLORA's OpenAPI document and SDK (@flora-ai/flora 0.11.0).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import (
    ApiAnswer,
    ApiDefaults,
    DocumentedCall,
    ErrorBody,
    Verdict,
)

NAME, API_PAGE = "flora", "developer.flora.ai/api-reference"
IDEMPOTENCY_PAGE = "developer.flora.ai/platform/idempotency"
ASSETS_PAGE = "github.com/florafauna-ai/flora-typescript 0.11.0, assets"
OUTPUTS_PAGE = "github.com/florafauna-ai/flora-typescript 0.11.0, techniques"

CREATE_VERDICTS: Mapping[int | str, Verdict] = {
    409: Verdict.KEY_KNOWN,  # `idempotency_duplicate`, the OpenAPI document
    422: Verdict.KEY_KNOWN,  # `idempotency_conflict`, platform/idempotency
}
"""Of a run created under a key, whatever words come with them: only a look at the runs can tell."""
STORE_VERDICTS: Mapping[int | str, Verdict] = dict.fromkeys(
    (400, 401, 403, 404, 409, 410, 412, 413), Verdict.REJECTED
)
"""Of the store behind an upload link: it judges the link and the file, not FLORA's key."""
WAIT_AFTER_429_SECONDS = 5.0  # where no `retry-after` is given; as FLORA's own sample does


def _documented(source: str, calls: Mapping[str, str]) -> Sequence[DocumentedCall]:
    return [
        DocumentedCall(call=call, operation=operation, source=source)
        for call, operation in calls.items()
    ]


CALLS: Sequence[DocumentedCall] = (
    *_documented(
        API_PAGE,
        {
            "GET /workspaces": "list_workspaces",
            "GET /projects": "list_projects",
            "POST /projects": "create_project",
            "GET /projects/{project_id}": "retrieve_project",
            "GET /models": "list_models",
            "GET /techniques": "list_techniques",
            "GET /techniques/{slug or technique_id}": "retrieve_technique",
        },
    ),
    *_documented(
        IDEMPOTENCY_PAGE, {"POST /techniques/{slug or technique_id}/runs": "create_technique_run"}
    ),
    *_documented(
        API_PAGE,
        {
            "GET /techniques/{slug or technique_id}/runs/{run_id}": "retrieve_technique_run",
            "GET /technique-runs": "list_technique_runs",
        },
    ),
    *_documented(OUTPUTS_PAGE, {"GET {outputs[].url}": "download_output"}),
    *_documented(
        ASSETS_PAGE,
        {
            "POST /assets": "create_asset",
            "POST {upload.url}": "upload_file",
            "POST /assets/{asset_id}/complete": "complete_asset",
            "POST /assets/{asset_id}/retry": "retry_asset",
            "GET /assets": "list_assets",
            "GET /assets/{asset_id}": "retrieve_asset",
        },
    ),
)


def read_error(answer: ApiAnswer) -> ErrorBody:
    """Read `{error: {code, message, fields?}}`; source: developer.flora.ai/platform/errors."""
    error = answer.json()["error"]
    return ErrorBody(
        code=read.code(error.get("code")),
        message=read.text(error.get("message")) or "",
        fields=read.objects(error.get("fields")) or (),
        retry_after_seconds=WAIT_AFTER_429_SECONDS if answer.status == 429 else None,  # noqa: PLR2004 - HTTP's own
    )


def given(**params: str | None) -> dict[str, str]:
    """Return what is not None."""
    return {name: value for name, value in params.items() if value is not None}


API = ApiDefaults(provider=NAME, source=API_PAGE, read_error=read_error)
