"""Addresses that a person listed: nothing else is visited, and none of them gets a key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.transport.addresses import (
    AddressBook,
    AddressRefused,
    Origin,
    is_loopback,
    origin_of,
)


class _Place(NamedTuple):
    origin: Origin
    path: str
    """Without a slash at its end."""


class ListedAddresses(AddressBook):
    """The rules for reading below listed URLs: https, public addresses, no way out of the list.

    Plain http and this machine are allowed only below an entry that is on this machine.
    """

    def __init__(self, urls: Sequence[str]) -> None:
        """Take the URLs below which anything may be read. Raises: ConfigurationError."""
        self._places = [_place(url) for url in urls]
        self.local = bool(urls) and all(is_loopback(one.origin.host) for one in self._places)

    def is_own(self, url: str) -> bool:
        """Return False: no key goes to a listed address. Raises: AddressRefused, as `origin_of`."""
        origin_of(url)
        return False

    def check(self, url: str) -> None:
        """Raise AddressRefused unless this URL is below a listed one."""
        origin, path = origin_of(url), urlsplit(url).path
        if leaves_its_folder(unquote(path)):
            raise AddressRefused(f"{origin}: a path with `.` or `..` in it")
        if not any(origin == one.origin and is_below(path, one.path) for one in self._places):
            raise AddressRefused(f"{origin}: not listed")

    def needs_public_peer(self, url: str) -> bool:
        """Return whether the address that `url` resolves to has to be a public one."""
        return not is_loopback(origin_of(url).host)


def is_below(path: str, folder: str) -> bool:
    """Return whether a path is a folder's own or lies in it; the empty folder holds everything."""
    folder = folder.rstrip("/")
    return not folder or path == folder or path.startswith(f"{folder}/")


def leaves_its_folder(path: str) -> bool:
    """Return whether a part of a path means another place to whoever resolves it."""
    return any(part in {".", ".."} for part in path.replace("\\", "/").split("/"))


def _place(url: str) -> _Place:
    try:
        origin = origin_of(url)
    except AddressRefused as refused:
        raise ConfigurationError(f"{url}: {refused}") from None
    if origin.scheme != "https" and not is_loopback(origin.host):
        raise ConfigurationError(f"{origin}: only https is read")
    return _Place(origin, urlsplit(url).path.rstrip("/"))
