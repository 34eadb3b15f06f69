"""Ports for the rooms below, built from a step's or a tick's resources."""

from collections.abc import Callable
from typing import Any, TypeVar

from flow_pipelines.lifecycle import Ports
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.resources.callbacks import callback_url
from flow_pipelines.resources.image_store import ImageStoreResource
from flow_pipelines.resources.provider import IN_A_STEP, Patience, ProviderResource
from flow_pipelines.resources.run_ledger import RunLedgerResource

T = TypeVar("T")


def open_ports(
    resources: Any,
    account: str,
    log: Callable[[str], None],
    *,
    patience: Patience = IN_A_STEP,
    key_required: bool = True,
) -> Ports:
    """Build the ports of one account from `context.resources`; `account` is its resource key.

    Without `key_required`, a missing key is an error only once a request is sent.

    Raises: ConfigurationError for whatever is missing, naming the variable; LedgerError.
    """
    provider = _resource(resources, account, ProviderResource)
    image_store = _resource(resources, "image_store", ImageStoreResource)
    run_ledger = _resource(resources, "run_ledger", RunLedgerResource)
    ledger, clock = run_ledger.get_ledger(), run_ledger.get_clock()
    return Ports(
        ledger=ledger,
        provider=provider.get_provider(
            ledger.pace, clock, patience=patience, key_required=key_required
        ),
        store=image_store.get_store(),
        clock=clock,
        log=log,
        read_uri=image_store.read_uri,
        callback_url=callback_url(provider.profile, provider.base_url_in_use()),
        seal=provider.link_seal(),
    )


def _resource(resources: Any, key: str, kind: type[T]) -> T:
    found = getattr(resources, key)
    if not isinstance(found, kind):
        raise ConfigurationError(
            f"the resource {key!r} is a {type(found).__name__}; a {kind.__name__} is needed there"
        )
    return found
