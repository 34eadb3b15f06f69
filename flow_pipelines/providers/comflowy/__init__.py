"""Comflowy: ComfyUI workflows saved at Comflowy, run by their id with values for their nodes.

Source: comflowy.com/blog/comflowy-api, one page of June 2024 that is the whole documentation.
Nothing lists workflows, their parameters or runs, takes files, cancels a run, or tells what it
cost: a run whose id was lost cannot be found again.
"""

from __future__ import annotations

from flow_pipelines.provider import ProviderProfile, RateLimit
from flow_pipelines.providers.comflowy.adapter import ComflowyProvider
from flow_pipelines.providers.comflowy.callbacks import read_callback
from flow_pipelines.providers.comflowy.calls import CALLS, NAME, SIGN_IN
from flow_pipelines.providers.comflowy.client import ComflowyClient

PROFILE = ProviderProfile(
    name=NAME,
    title="Comflowy",
    documentation="https://www.comflowy.com/blog/comflowy-api",
    key_variable="COMFLOWY_API_KEY",
    urls={"base_url": "https://app.comflowy.com/api/open/v0"},
    url_variables={"base_url": "COMFLOWY_BASE_URL"},
    # Ours: Comflowy publishes no limit. `requests_per_minute` of the resource is another.
    rate_limit=RateLimit(requests=60, per_seconds=60.0),
    sign_in=SIGN_IN,
    calls=CALLS,
    read_callback=read_callback,
    capabilities=ComflowyProvider.capabilities,
    connect=ComflowyProvider,
)

__all__ = ["PROFILE", "ComflowyClient", "ComflowyProvider"]
