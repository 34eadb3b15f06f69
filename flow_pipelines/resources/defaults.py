"""All resources at once, from the environment."""

from typing import Any

from flow_pipelines.resources.environment import env_var
from flow_pipelines.resources.image_store import BUCKET, PREFIX, ImageStoreResource
from flow_pipelines.resources.io_manager import IO_MANAGER_KEY, flow_pipelines_io_manager
from flow_pipelines.resources.provider import (
    ComflowyResource,
    FloImgResource,
    FloraResource,
    FloyoResource,
)
from flow_pipelines.resources.run_ledger import VARIABLE as LEDGER_URL
from flow_pipelines.resources.run_ledger import RunLedgerResource


def default_resources() -> dict[str, Any]:
    """Give every resource that prompt batches need, configured by the environment.

    Nothing has to be set for a location to load: what is missing is an error, naming its
    variable, when it is first used. Put your own over any of them::

        dg.Definitions(resources={**default_resources(), "floyo": FloyoResource(...)})
    """
    return {
        "floyo": FloyoResource(api_key=env_var("FLOYO_API_KEY")),
        "floimg": FloImgResource(api_key=env_var("FLOIMG_API_KEY")),
        "comflowy": ComflowyResource(api_key=env_var("COMFLOWY_API_KEY")),
        "flora": FloraResource(api_key=env_var("FLORA_API_KEY")),
        "image_store": ImageStoreResource(bucket=env_var(BUCKET), prefix=env_var(PREFIX)),
        "run_ledger": RunLedgerResource(url=env_var(LEDGER_URL)),
        IO_MANAGER_KEY: flow_pipelines_io_manager,
    }
