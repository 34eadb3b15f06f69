"""FLORA: techniques, saved workflows with typed inputs and a price of their own.

Sources: developer.flora.ai, FLORA's OpenAPI document and SDK (@flora-ai/flora 0.11.0).
"""

from __future__ import annotations

from flow_pipelines.provider import ProviderProfile, RateLimit
from flow_pipelines.providers.flora.adapter import FloraProvider
from flow_pipelines.providers.flora.assets import OUTPUT_HOSTS
from flow_pipelines.providers.flora.callbacks import read_callback
from flow_pipelines.providers.flora.calls import API, CALLS, NAME
from flow_pipelines.providers.flora.client import FloraClient

PROFILE = ProviderProfile(
    name=NAME,
    title="FLORA",
    documentation="https://developer.flora.ai",
    key_variable="FLORA_API_KEY",
    urls={"base_url": "https://app.flora.ai/api/v1"},
    url_variables={"base_url": "FLORA_BASE_URL"},
    other_variables={"workspace_id": "FLORA_WORKSPACE_ID"},
    rate_limit=RateLimit(requests=60, per_seconds=60.0),  # ours: FLORA has one and tells none
    probe=lambda url: API.request("list_workspaces", "GET", f"{url}/workspaces"),
    output_hosts=OUTPUT_HOSTS,
    capabilities=FloraProvider.capabilities,
    calls=CALLS,
    read_callback=read_callback,
    callback_secret_variable="FLORA_WEBHOOK_SECRET",  # noqa: S106 - a variable's name
    connect=FloraProvider,
)

__all__ = ["PROFILE", "FloraClient", "FloraProvider"]
