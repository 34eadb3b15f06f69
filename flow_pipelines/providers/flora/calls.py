"""What FLORA documents of its calls: where, under which errors, and what their refusals prove.

Sources: developer.flora.ai, FLORA's OpenAPI document and SDK (@flora-ai/flora 0.11.0).
"""

from __future__ import annotations

from collections.abc import Mapping

from flow_pipelines.model import json_values as read
from flow_pipelines.provider import (
    ApiAnswer,
    ApiDefaults,
    ErrorBody,
    Verdict,
    documented,
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


CALLS = (
    documented(
        API_PAGE,
        list_workspaces="GET /workspaces",
        list_projects="GET /projects",
        create_project="POST /projects",
        retrieve_project="GET /projects/{project_id}",
        list_models="GET /models",
        list_techniques="GET /techniques",
        retrieve_technique="GET /techniques/{slug or technique_id}",
    )
    + documented(
        IDEMPOTENCY_PAGE, create_technique_run="POST /techniques/{slug or technique_id}/runs"
    )
    + documented(
        API_PAGE,
        retrieve_technique_run="GET /techniques/{slug or technique_id}/runs/{run_id}",
        list_technique_runs="GET /technique-runs",
    )
    + documented(OUTPUTS_PAGE, download_output="GET {outputs[].url}")
    + documented(
        ASSETS_PAGE,
        create_asset="POST /assets",
        upload_file="POST {upload.url}",
        complete_asset="POST /assets/{asset_id}/complete",
        retry_asset="POST /assets/{asset_id}/retry",
        list_assets="GET /assets",
        retrieve_asset="GET /assets/{asset_id}",
    )
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
