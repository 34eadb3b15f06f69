"""Ports for the floors below, built from the resources of a step, a tick or a command."""

import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import dagster as dg

from flow_pipelines.ledger import RunLedger
from flow_pipelines.lifecycle import Ports
from flow_pipelines.lifecycle.callback_addresses import (
    SECRET_VARIABLE,
    URL_VARIABLE,
    CallbackAddresses,
    check_base_url,
    read_secrets,
)
from flow_pipelines.lifecycle.ports import ProcessCaches, no_account, no_callback
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.provider import ProviderProfile
from flow_pipelines.resources.environment import setting
from flow_pipelines.resources.image_store import ImageStoreResource
from flow_pipelines.resources.provider import IN_A_STEP, Patience, ProviderResource
from flow_pipelines.resources.run_ledger import RunLedgerResource

T = TypeVar("T")


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


class OpenAccounts:
    """Opens accounts that share a ledger, a bucket and a clock, each once and when it is needed."""

    def __init__(
        self,
        ledger: RunLedger,
        image_store: ImageStoreResource,
        find: Callable[[str], Any],
        log: Callable[[str], None],
        *,
        patience: Patience = IN_A_STEP,
    ) -> None:
        """`find` gives the resource under a key, ready for use; None, where there is none.

        Raises: ConfigurationError, naming the variable that is missing.
        """
        self.ledger, self.clock, self.log = ledger, ledger.clock, log
        self.store = image_store.get_store()
        self._image_store, self._find, self._patience = image_store, find, patience
        self._caches = ProcessCaches()
        self._open: dict[str, Ports] = {}
        self._lock = threading.Lock()

    def open(self, account: str, *, key_required: bool = True) -> Ports:
        """Return the ports of the account under this resource key; the same at every call.

        Without `key_required`, a missing key is an error only once a request is sent.
        Raises: AccountMissing, where there is none; ConfigurationError.
        """
        with self._lock:
            if account not in self._open:
                self._open[account] = self._ports(account, key_required=key_required)
            return self._open[account]

    def for_account(self, resource: str, provider: str) -> Ports:
        """Return the ports of the account that a submission was sent with; see `Ports`."""
        return self.open(resource).for_account(resource, provider)

    def _ports(self, account: str, *, key_required: bool) -> Ports:
        resource = self._find(account)
        if resource is None:
            return no_account(account)
        provider = _expect(resource, account, ProviderResource)
        return Ports(
            ledger=self.ledger,
            provider=provider.get_provider(
                self.ledger.pace, self.clock, patience=self._patience, key_required=key_required
            ),
            resource=account,
            store=self.store,
            clock=self.clock,
            log=self.log,
            read_uri=self._image_store.read_uri,
            read_input=self._image_store.read_input,
            max_output_bytes=self._image_store.max_output_bytes,
            callback_url=callback_url(provider.profile, provider.base_url_in_use()),
            held_until=lambda: provider.held_until(self.ledger.pace),
            seal=provider.link_seal(),
            caches=self._caches,
            others=self.open,
        )


def open_accounts(
    resources: Any,
    log: Callable[[str], None],
    *,
    patience: Patience = IN_A_STEP,
    others: Mapping[str, dg.ResourceDefinition] | None = None,
) -> OpenAccounts:
    """Return what opens accounts from `context.resources`.

    `others` are all resources of the code location: a step and a sensor are given only those that
    they name, and a night may have been bought with another account than its batch names now.
    """
    run_ledger = _expect(resources.run_ledger, "run_ledger", RunLedgerResource)
    return OpenAccounts(
        run_ledger.get_ledger(),
        _expect(resources.image_store, "image_store", ImageStoreResource),
        lambda key: getattr(resources, key, None) or _initialized(key, others or {}),
        log,
        patience=patience,
    )


def step_ledger(context: dg.AssetExecutionContext | dg.AssetCheckExecutionContext) -> RunLedger:
    """Open the ledger for a step; see `RunLedgerResource.of_step`."""
    resource = _expect(context.resources.run_ledger, "run_ledger", RunLedgerResource)
    return resource.of_step(context)


def open_ports(
    resources: Any,
    account: str,
    log: Callable[[str], None],
    *,
    key_required: bool = True,
    others: Mapping[str, dg.ResourceDefinition] | None = None,
) -> Ports:
    """Return the ports of one account from `context.resources`; `account` is its resource key.

    Raises: ConfigurationError for whatever is missing, naming the variable; LedgerError.
    """
    accounts = open_accounts(resources, log, others=others)
    return accounts.open(account, key_required=key_required)


def _initialized(key: str, others: Mapping[str, dg.ResourceDefinition]) -> Any:
    """Return a resource that Dagster has not made ready; a provider's needs no tearing down."""
    if key not in others:
        return None
    try:
        with dg.build_resources({key: others[key]}) as ready:
            return getattr(ready, key)
    except dg.DagsterInvalidConfigError as error:
        message = "; ".join(fault.message for fault in error.errors)
        raise ConfigurationError(f"resource {key!r}: {message}") from None


def _expect(resource: Any, key: str, kind: type[T]) -> T:
    if not isinstance(resource, kind):
        is_a = type(resource).__name__
        raise ConfigurationError(
            f"the resource {key!r} is a {is_a}; a {kind.__name__} is needed there"
        )
    return resource
