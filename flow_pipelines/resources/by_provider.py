"""The resource class of each provider in the registry, and all resources at once."""

from functools import cache
from typing import Any, ClassVar, Final

from pydantic import Field

from flow_pipelines.providers import key_variable, profile, provider_names
from flow_pipelines.resources.environment import env_var
from flow_pipelines.resources.image_store import BUCKET, PREFIX, ImageStoreResource
from flow_pipelines.resources.io_manager import IO_MANAGER_KEY, flow_pipelines_io_manager
from flow_pipelines.resources.provider import (
    ComflowyResource,
    FloImgResource,
    FloraResource,
    FloyoResource,
    ProviderResource,
)
from flow_pipelines.resources.run_ledger import VARIABLE as LEDGER_URL
from flow_pipelines.resources.run_ledger import RunLedgerResource

_WRITTEN: Final = {
    kind.provider_name: kind
    for kind in (FloyoResource, FloImgResource, ComflowyResource, FloraResource)
}


@cache
def provider_resource(name: str) -> type[ProviderResource]:
    """Return the resource class of a provider, for `provider_resource("…")(api_key=…)`.

    Where none is written, one is made from the provider's profile: the fields of every provider,
    and one for each further address and setting that the profile declares.

    Raises: ConfigurationError, for a name that is not in the registry.
    """
    if name in _WRITTEN:
        return _WRITTEN[name]
    provider = profile(name)
    variables = {**provider.url_variables, **provider.other_variables}
    del variables["base_url"]  # a field of every provider
    members: dict[str, Any] = {
        field: Field(default=None, description=f"Default: {variable}.")
        for field, variable in variables.items()
    }
    annotations = {"provider_name": ClassVar[str], **dict.fromkeys(variables, str | None)}
    return type(
        f"{name.capitalize()}Resource",
        (ProviderResource,),
        {
            "__doc__": f"{provider.title}; see {provider.documentation}.",
            "__module__": __name__,
            "__annotations__": annotations,
            "provider_name": name,
            **members,
        },
    )


def default_resources() -> dict[str, Any]:
    """Return every resource that prompt batches need, configured by the environment.

    Nothing has to be set for a location to load: what is missing is an error, naming its
    variable, when it is first used. Put your own over any of them::

        dg.Definitions(resources={**default_resources(), "floyo": FloyoResource(...)})
    """
    providers = {
        name: provider_resource(name)(api_key=env_var(key_variable(name)))
        for name in provider_names()
    }
    return {
        **providers,
        "image_store": ImageStoreResource(bucket=env_var(BUCKET), prefix=env_var(PREFIX)),
        "run_ledger": RunLedgerResource(url=env_var(LEDGER_URL)),
        IO_MANAGER_KEY: flow_pipelines_io_manager,
    }
