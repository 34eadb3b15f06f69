"""What the rooms above know of a provider before they use it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from flow_pipelines.provider.adapter import Capabilities, Provider
from flow_pipelines.provider.callbacks import CallbackReader
from flow_pipelines.provider.calls import ApiRequest, DocumentedCall
from flow_pipelines.provider.ports import RateLimit, SignIn


@dataclass(frozen=True, kw_only=True)
class ProviderProfile:
    """What the rooms above have to know of a provider before they use it: one per file."""

    name: str
    """As batches, resource keys, pools and environment variables have it."""
    title: str
    """As the provider writes itself."""
    documentation: str
    """Address of the provider's API documentation."""
    key_variable: str
    """Environment variable of the key."""
    key_prefixes: Sequence[str] = ()
    """What keys begin with, where `redaction` does not mask such keys anyway."""
    urls: Mapping[str, str]
    """Keyword of `connect` → default; `base_url` first. All are origins that may get the key."""
    url_variables: Mapping[str, str]
    """Keyword of `connect` → environment variable, for every one of `urls`."""
    other_variables: Mapping[str, str] = field(default_factory=dict)
    """Keyword of `connect` → environment variable of a setting that is no address."""
    rate_limit: RateLimit | None = None
    """Per key: as published, or our own modest figure; None: paced by its 429s only."""
    sign_in: SignIn | None = None
    """None: requests carry the key itself."""
    probe: Callable[[str], ApiRequest] | None = None
    """Base URL → a request that changes nothing, is free of charge and fails unless the key works;
    None: the sign-in is that."""
    probe_leaves_open: str = ""
    """What the probe cannot show of the key's rights, for people."""
    output_hosts: Sequence[str] = ()
    """Hosts of outputs besides `urls`, `.domain` for all below it; empty: every public host."""
    capabilities: Capabilities = field(default_factory=Capabilities)
    calls: Sequence[DocumentedCall] = ()
    """Every call that the provider documents and the client speaks; `docs/CALLS.md` shows them."""
    read_callback: CallbackReader | None = None
    """None: the provider tells nothing by itself; it is polled."""
    callback_secret_variable: str | None = None
    """Environment variable of what callbacks are signed with; None: they are not signed."""
    connect: Callable[..., Provider]
    """`connect(transport, base_url=…, <the other keywords>)`: the adapter, with its typed client
    as `client`. Opens no connection."""
