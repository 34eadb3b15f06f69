"""Where requests and keys may go: an account's own origins, or addresses that a person listed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from flow_pipelines.model.errors import ConfigurationError

_DEFAULT_PORTS = {"https": 443, "http": 80}
_HOST = re.compile(r"[a-z0-9._-]{1,253}|[0-9a-f:.]{2,45}(%[a-z0-9._-]{1,60})?")
"""A name as DNS has it, or an address. Anything else is a host to one reader of a URL and several
parts of it to another: `evil.com\\.acme.com` is below acme.com here, and evil.com to whoever
connects."""
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
"""Addresses that stand for an IPv4 one, their last four bytes (RFC 6052)."""


class AddressRefused(Exception):
    """An address that must not be visited; the text names the host, never the query."""


class Origin(NamedTuple):
    """What decides about a key: scheme, host and port."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """Return `https://host`, with the port where it is not the usual one."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = _DEFAULT_PORTS.get(self.scheme) == self.port
        return f"{self.scheme}://{host}" + ("" if usual else f":{self.port}")


def origin_of(url: str) -> Origin:
    """Return the origin of an absolute URL. Raises: AddressRefused, when it has none."""
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        raise AddressRefused("not an address") from None
    host = (parts.hostname or "").rstrip(".").lower()
    if not host or port is None or parts.scheme not in _DEFAULT_PORTS:
        raise AddressRefused("not an http(s) address")
    if not _HOST.fullmatch(host):
        raise AddressRefused("an address whose host is none")
    if parts.username is not None or parts.password is not None:
        raise AddressRefused(f"{host}: an address with a name or password in it")
    return Origin(parts.scheme, host, port)


def is_loopback(host: str) -> bool:
    """Return whether a host name or address means this very machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    address = _address(host)
    return address is not None and address.is_loopback


def is_public(host: str) -> bool:
    """Return whether an IP address is one that anybody on the internet could reach.

    Addresses that carry another one inside (IPv4-mapped, 6to4, NAT64) are judged by that, too. A
    name that is no address counts as public: its addresses are judged when it is connected to.
    """
    address = _address(host)
    if not isinstance(address, ipaddress.IPv6Address):
        return address is None or _is_global(address)
    if address.ipv4_mapped is not None:
        return _is_global(address.ipv4_mapped)
    if address in _NAT64:
        return _is_global(ipaddress.IPv4Address(address.packed[-4:]))
    inside = address.sixtofour
    return _is_global(address) and (inside is None or _is_global(inside))


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    local = address.is_multicast or address.is_reserved
    if isinstance(address, ipaddress.IPv6Address):
        local = local or address.is_site_local
    return address.is_global and not local


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.split("%", 1)[0])
    except ValueError:
        return None


class AddressBook:
    """The rules of one account: its own origins get the key, foreign ones never do.

    Plain http and this machine are allowed only where the provider's own base URL is on this
    machine; private networks only as the provider's own origins. `allow_http` lets own origins on
    the base URL's host be plain http, and nothing else.
    """

    def __init__(
        self, origins: Sequence[str], output_hosts: Sequence[str] = (), *, allow_http: bool = False
    ) -> None:
        """Take the provider's own URLs, base URL first; `output_hosts` narrows foreign hosts.

        An entry of `output_hosts` is a host, or `.domain` for all hosts below it.
        Raises: ConfigurationError, for an own URL that a key must not be sent to.
        """
        if not origins:
            raise ConfigurationError("a provider needs a base URL")
        plain_host = _parsed(origins[0]).host if allow_http else None
        self._own = tuple(_own_origin(url, plain_host) for url in origins)
        self.local = is_loopback(self._own[0].host)
        """Whether the provider is a stand-in on this machine."""
        self._output_hosts = tuple(host.lower() for host in output_hosts)

    def is_own(self, url: str) -> bool:
        """Return whether the key may go to this URL. Raises: AddressRefused."""
        return origin_of(url) in self._own

    def check(self, url: str) -> None:
        """Raise AddressRefused unless this URL may be visited, key or no key."""
        origin = origin_of(url)
        if origin in self._own:
            return
        on_this_machine = is_loopback(origin.host)
        if not (self.local and on_this_machine):
            if origin.scheme != "https":
                raise AddressRefused(f"{origin}: only https is followed")
            if on_this_machine or not is_public(origin.host):
                raise AddressRefused(f"{origin}: not a public address")
        if self._output_hosts and not any(_fits(origin.host, h) for h in self._output_hosts):
            raise AddressRefused(f"{origin}: not among the hosts that outputs may come from")

    def needs_public_peer(self, url: str) -> bool:
        """Return whether the address that `url` resolves to has to be a public one."""
        return not self.local and not self.is_own(url)


def _parsed(url: str) -> Origin:
    try:
        return origin_of(url)
    except AddressRefused as refused:
        raise ConfigurationError(f"base URL: {refused}") from None


def _own_origin(url: str, plain_host: str | None) -> Origin:
    origin = _parsed(url)
    if goes_in_plain(origin) and origin.host != plain_host:
        raise ConfigurationError(
            f"base URL {origin}: plain http is allowed for this machine only; use https, or "
            "allow_http on the resource, which allows its base URL's host"
        )
    return origin


def goes_in_plain(origin: Origin) -> bool:
    """Return whether others on the way read what is sent there."""
    return origin.scheme != "https" and not is_loopback(origin.host)


def _fits(host: str, allowed: str) -> bool:
    return host.endswith(allowed) if allowed.startswith(".") else host == allowed


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
        self.local = bool(urls) and all(is_loopback(place.origin.host) for place in self._places)

    def is_own(self, url: str) -> bool:
        """Return False: no key goes to a listed address. Raises: AddressRefused, as `origin_of`."""
        origin_of(url)
        return False

    def check(self, url: str) -> None:
        """Raise AddressRefused unless this URL is below a listed one."""
        origin, path = origin_of(url), urlsplit(url).path
        if leaves_its_folder(unquote(path)):
            raise AddressRefused(f"{origin}: a path with `.` or `..` in it")
        places = (place for place in self._places if place.origin == origin)
        if not any(is_below(path, place.path) for place in places):
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
