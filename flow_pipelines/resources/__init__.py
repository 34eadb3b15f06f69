"""Configuration in, ports out; our errors become Dagster's here and nowhere else."""

from flow_pipelines.resources.by_provider import default_resources, provider_resource
from flow_pipelines.resources.image_store import ImageStoreResource
from flow_pipelines.resources.io_manager import IO_MANAGER_KEY, flow_pipelines_io_manager
from flow_pipelines.resources.provider import (
    ComflowyResource,
    FloImgResource,
    FloraResource,
    FloyoResource,
    ProviderResource,
)
from flow_pipelines.resources.run_ledger import RunLedgerResource

__all__ = [
    "IO_MANAGER_KEY",
    "ComflowyResource",
    "FloImgResource",
    "FloraResource",
    "FloyoResource",
    "ImageStoreResource",
    "ProviderResource",
    "RunLedgerResource",
    "default_resources",
    "flow_pipelines_io_manager",
    "provider_resource",
]
