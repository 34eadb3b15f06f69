"""FloImg: workflows saved at FloImg, executed by id with named parameters.

Source: the pages under `docs/api` of FloImg's own site, github.com/FlojoInc/floimg-web
(`packages/frontend/src/content/docs`): endpoints, authentication, rate-limits. They document
neither a way to cancel, nor an idempotency key, nor a list of executions: an execution whose id
was lost cannot be found again.
"""

from __future__ import annotations

from flow_pipelines.provider import ProviderProfile, RateLimit
from flow_pipelines.providers.floimg.adapter import FloImgProvider
from flow_pipelines.providers.floimg.calls import API, CALLS, NAME
from flow_pipelines.providers.floimg.client import FloImgClient

PROFILE = ProviderProfile(
    name=NAME,
    title="FloImg",
    documentation="https://github.com/FlojoInc/floimg-web",
    key_variable="FLOIMG_API_KEY",
    urls={"base_url": "https://api.floimg.com/v1"},
    url_variables={"base_url": "FLOIMG_BASE_URL"},
    # Starter's, the smallest plan with an API; Pro has 300, as its first answer tells.
    # Source: floimg-web docs/api/rate-limits
    rate_limit=RateLimit(requests=60, per_seconds=60.0, told_by_answers=True),
    output_hosts=("storage.floimg.com",),
    probe=lambda url: API.request(
        "list_workflows", "GET", f"{url}/workflows", params={"limit": "1"}
    ),
    probe_leaves_open="it may read workflows; whether it may execute them, only an execution shows",
    calls=CALLS,
    capabilities=FloImgProvider.capabilities,
    connect=FloImgProvider,
)

__all__ = ["PROFILE", "FloImgClient", "FloImgProvider"]
