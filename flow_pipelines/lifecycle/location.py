"""One code location works on a batch, however many share its ledger and its bucket."""

from __future__ import annotations

from flow_pipelines.ledger import RunLedger
from flow_pipelines.model.errors import ConfigurationError


def claim_batch(ledger: RunLedger, batch: str, location: str) -> None:
    """Take a batch that no code location has. Safe to repeat; nothing happens without a name.

    Two locations with a batch of one name would buy each other's rows with their own settings and
    ask after each other's runs with their own keys. The first that works on it keeps it, until a
    person moves it.

    Raises: ConfigurationError, when the batch belongs to another location.
    """
    if not location:
        return
    owner = ledger.claim_batch(batch, location)
    if owner != location:
        raise ConfigurationError(f"{belongs_to_another(batch, owner, location)}. Nothing was done")


def belongs_to_another(batch: str, owner: str, location: str) -> str:
    """Say whose a batch is, and the two ways out."""
    return (
        f"batch {batch!r} belongs to the code location {owner!r} of this ledger, and this is "
        f"{location!r}: rename the batch here, or, if {owner!r} was renamed or no longer has it, "
        f"run `flow-pipelines ledger adopt {batch} --location {location}`"
    )
