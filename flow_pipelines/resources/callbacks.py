"""Where providers may call back, from the environment."""

from collections.abc import Callable

from flow_pipelines.lifecycle.callback_addresses import (
    SECRET_VARIABLE,
    URL_VARIABLE,
    CallbackAddresses,
    check_base_url,
    read_secrets,
)
from flow_pipelines.lifecycle.ports import no_callback
from flow_pipelines.provider import ProviderProfile
from flow_pipelines.resources.environment import setting


def callback_url(
    profile: ProviderProfile, provider_url: str
) -> Callable[[str, str | None], str | None]:
    """Return what makes addresses for `profile` at `provider_url`: none unless both are set.

    Raises: ConfigurationError, naming the variable that cannot be used as it is.
    """
    base_url, secret = setting(None, URL_VARIABLE), setting(None, SECRET_VARIABLE)
    if profile.read_callback is None or not base_url or not secret:
        return no_callback
    check_base_url(base_url, provider_url=provider_url)
    return CallbackAddresses(base_url, read_secrets(secret), profile.name).url
