"""The registry of providers: one line each. The only place that knows providers' files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_pipelines.provider import ProviderProfile

PROVIDERS: Mapping[str, str] = MappingProxyType(
    {
        "floyo": "flow_pipelines.providers.floyo:PROFILE",
        "floimg": "flow_pipelines.providers.floimg:PROFILE",
        "comflowy": "flow_pipelines.providers.comflowy:PROFILE",
        "flora": "flow_pipelines.providers.flora:PROFILE",
    }
)
"""Name → where its `ProviderProfile` is; imported when first asked for."""


def provider_names() -> tuple[str, ...]:
    """List the providers, in the order of the registry. Imports none of them."""
    return tuple(PROVIDERS)


def key_variable(name: str) -> str:
    """Return which environment variable has the key of a provider. Imports none of them."""
    return f"{name.upper()}_API_KEY"


@cache
def profile(name: str) -> ProviderProfile:
    """Return what is known of a provider. Raises: ConfigurationError, for an unknown name."""
    from flow_pipelines.model.errors import ConfigurationError
    from flow_pipelines.redaction import mask_keys_like

    if name not in PROVIDERS:
        names = ", ".join(PROVIDERS)
        raise ConfigurationError(f"unknown provider {name!r}; known are: {names}")
    module, attribute = PROVIDERS[name].split(":")
    known: ProviderProfile = getattr(import_module(module), attribute)
    mask_keys_like(*known.key_prefixes)
    return known


__all__ = ["PROVIDERS", "key_variable", "profile", "provider_names"]
