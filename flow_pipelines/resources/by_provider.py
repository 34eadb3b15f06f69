"""The resource class of each provider in the registry: written where there is more to say."""

from functools import cache
from typing import Any, ClassVar, Final

from pydantic import Field

from flow_pipelines.providers import profile
from flow_pipelines.resources.provider import (
    ComflowyResource,
    FloImgResource,
    FloraResource,
    FloyoResource,
    ProviderResource,
)

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
    known = profile(name)
    variables = {**known.url_variables, **known.other_variables}
    fields = {word: what for word, what in variables.items() if word != "base_url"}
    members: dict[str, Any] = {
        word: Field(default=None, description=f"Default: {variable}.")
        for word, variable in fields.items()
    }
    annotations = {"provider_name": ClassVar[str], **dict.fromkeys(fields, str | None)}
    return type(
        f"{name.capitalize()}Resource",
        (ProviderResource,),
        {
            "__doc__": f"{known.title}; see {known.documentation}.",
            "__module__": __name__,
            "__annotations__": annotations,
            "provider_name": name,
            **members,
        },
    )
