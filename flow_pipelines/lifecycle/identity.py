"""Refuse to buy when a resource key now belongs to another provider account than before."""

from __future__ import annotations

from flow_pipelines.lifecycle.ports import Ports
from flow_pipelines.model.errors import (
    AccountMissing,
    ConfigurationError,
    ProviderError,
    ProviderUnavailable,
)
from flow_pipelines.provider import TellsIdentity


def check_identity(ports: Ports) -> None:
    """Refuse to buy with an account under another one's resource key. One request, at most.

    Keys are rotated, and an account keeps its resource key; what was bought with another account
    is not known to this one: it would neither be found nor collected.

    Raises: ConfigurationError; ProviderUnavailable, when the provider cannot tell just now.
    """
    name, told = ports.provider.name, _told(ports)
    kept = ports.ledger.keep_account(ports.resource, name, told)
    since = f"{kept.seen_at:%Y-%m-%d %H:%M} UTC"
    ways_out = (
        "Nothing was sent. Give the other account a resource key of its own, so that what was "
        "bought before is still found; or, if it is the same account or all of it is settled, "
        f"`flow-pipelines ledger forget-account {ports.resource}`"
    )
    if kept.provider != name:
        raise AccountMissing(
            f"the resource {ports.resource!r} is {name}'s now, and was {kept.provider}'s when it "
            f"first bought, on {since}. {ways_out}"
        )
    if told and kept.identity and told.isdisjoint(kept.identity):
        raise ConfigurationError(
            f"the resource {ports.resource!r} is another account at {name} than on {since}, when "
            f"it first bought: {_listed(kept.identity)} then, {_listed(told)} now. {ways_out}"
        )


def _told(ports: Ports) -> frozenset[str]:
    """Return who the provider says that the account is; nothing, where it does not."""
    if not isinstance(ports.provider, TellsIdentity):
        return frozenset()
    try:
        return ports.provider.identity()
    except ProviderUnavailable:
        raise
    except ProviderError as error:
        ports.log(f"{ports.resource}: it could not be asked whose account it is: {error}")
        return frozenset()


def _listed(identity: frozenset[str]) -> str:
    return ", ".join(sorted(identity)[:5])
