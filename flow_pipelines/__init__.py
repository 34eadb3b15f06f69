"""Nightly image batches on hosted AI-workflow services, as Dagster assets."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_pipelines.component import PromptBatchComponent, PromptComparisonComponent
    from flow_pipelines.resources import (
        ComflowyResource,
        FloImgResource,
        FloraResource,
        FloyoResource,
        ImageStoreResource,
        RunLedgerResource,
        default_resources,
        provider_resource,
    )

__all__ = [
    "ComflowyResource",
    "FloImgResource",
    "FloraResource",
    "FloyoResource",
    "ImageStoreResource",
    "PromptBatchComponent",
    "PromptComparisonComponent",
    "RunLedgerResource",
    "default_resources",
    "provider_resource",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the lower floors work without Dagster."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = "component" if name.endswith("Component") else "resources"
    return getattr(import_module(f"flow_pipelines.{home}"), name)


def __dir__() -> list[str]:
    """List the components among the public names, and no resources.

    Dagster's component registry imports each listed name, in every project that has us installed.
    """
    return sorted([*globals(), *(name for name in __all__ if name.endswith("Component"))])
