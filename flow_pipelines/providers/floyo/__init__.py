"""Floyo: whole ComfyUI graphs in API format, run by a hosted ComfyUI.

Sources: docs.floyo.ai (pages `floyo-api-introduction`, `workflow-runs`, `files`,
`plans-and-billing`) and Floyo's own demo, github.com/FloyoAI/floyo-api-nodejs-demo. What only
other people's clients show is marked as seen in clients, and read with care.
"""

from __future__ import annotations

from flow_pipelines.provider import ApiRequest, ProviderProfile, RateLimit, documented
from flow_pipelines.providers.floyo.adapter import FloyoProvider
from flow_pipelines.providers.floyo.calls import API, DEMO, FILES_PAGE, NAME, RUNS_PAGE
from flow_pipelines.providers.floyo.client import FloyoClient

CDN = "https://cdn.floyo.ai"
CALLS = (
    documented(
        RUNS_PAGE,
        create_run="POST /runs",
        retrieve_run="GET /runs/{runId}",
        cancel_run="POST /runs/{runId}/cancel",
    )
    + documented(FILES_PAGE, retrieve_file="GET /files/{fileId}")
    + documented(DEMO, download_file=f"GET {CDN}/{{fileId}}/download")
    + documented(FILES_PAGE, open_presigned_url=f"GET {CDN}/{{fileId}}?token=…")
    + documented(DEMO, upload_file=f"POST {CDN}/upload")
)
"""`search_runs` is missing: nobody but clients shows that call."""


def _probe(base_url: str) -> ApiRequest:
    """Ask for a run that does not exist: only a key that works is told so, by a 404."""
    url = f"{base_url}/runs/run_0000000000000000"
    return API.request("retrieve_run", "GET", url, answers=frozenset({404}))


PROFILE = ProviderProfile(
    name=NAME,
    title="Floyo",
    documentation="https://docs.floyo.ai",
    key_variable="FLOYO_API_KEY",
    urls={"base_url": "https://api.floyo.ai", "cdn_url": CDN},
    url_variables={"base_url": "FLOYO_BASE_URL", "cdn_url": "FLOYO_CDN_URL"},
    rate_limit=RateLimit(requests=100, per_seconds=60.0),  # per key; the introduction page
    probe=_probe,
    capabilities=FloyoProvider.capabilities,
    calls=CALLS,
    connect=FloyoProvider,
)

__all__ = ["PROFILE", "FloyoClient", "FloyoProvider"]
