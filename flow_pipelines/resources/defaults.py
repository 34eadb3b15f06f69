"""All resources at once, from the environment."""

from typing import Any

from flow_pipelines.providers import profile, provider_names
from flow_pipelines.resources.by_provider import provider_resource
from flow_pipelines.resources.environment import env_var
from flow_pipelines.resources.image_store import BUCKET, PREFIX, ImageStoreResource
from flow_pipelines.resources.io_manager import IO_MANAGER_KEY, flow_pipelines_io_manager
from flow_pipelines.resources.run_ledger import VARIABLE as LEDGER_URL
from flow_pipelines.resources.run_ledger import RunLedgerResource


def default_resources() -> dict[str, Any]:
    """Return every resource that prompt batches need, configured by the environment.

    Nothing has to be set for a location to load: what is missing is an error, naming its
    variable, when it is first used. Put your own over any of them::

        dg.Definitions(resources={**default_resources(), "floyo": FloyoResource(...)})
    """
    providers = {
        name: provider_resource(name)(api_key=env_var(profile(name).key_variable))
        for name in provider_names()
    }
    return {
        **providers,
        "image_store": ImageStoreResource(bucket=env_var(BUCKET), prefix=env_var(PREFIX)),
        "run_ledger": RunLedgerResource(url=env_var(LEDGER_URL)),
        IO_MANAGER_KEY: flow_pipelines_io_manager,
    }
