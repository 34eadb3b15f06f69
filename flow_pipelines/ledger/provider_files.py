"""The part of the ledger's contract about pictures that a provider keeps for its runs."""

from __future__ import annotations

from typing import Protocol


class ProviderFiles(Protocol):
    """What was uploaded to which account, by content; see `contract.RunLedger`.

    A name is what the provider knows the picture by: an id or a path, never a link that opens it.
    """

    def provider_file(self, resource: str, sha256: str) -> str | None:
        """Return the name under which this account keeps this content, or None: never uploaded."""

    def remember_file(self, resource: str, sha256: str, name: str) -> str:
        """Keep the name of an upload, unless there is one already; give the one that stands."""

    def forget_file(self, resource: str, sha256: str, name: str) -> None:
        """Drop a name that the provider does not know any more, if it is still the one kept."""
