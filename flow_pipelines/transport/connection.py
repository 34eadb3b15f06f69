"""Connections that know whether a request left this machine, and how long an answer may take.

`requests` can tell neither. Both matter here: an error before the first byte went out proves that
nothing was bought, and a server that sends one byte a minute must not hold a night for hours.
"""

from __future__ import annotations

import http.client
import io
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from flow_pipelines.clock import Clock
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.redaction import RedactedLog
from flow_pipelines.transport.addresses import AddressRefused, is_public


@dataclass(kw_only=True)
class Attempt:
    """One request on its way out and its answer on its way in."""

    clock: Clock
    idle_seconds: float
    """Longest silence within the answer."""
    remaining_seconds: float
    """How much longer we wait for bytes of this answer, all waits together."""
    public_only: bool
    """Whether a connection to a private or local address has to be given up."""
    sent: bool = False
    """Whether a byte of the request may have left this machine."""
    send_by: datetime | None = None
    """When the first byte must be out; None: whenever it is."""

    def begin_to_send(self) -> None:
        """Note that bytes leave now. Raises: TimeoutError, before the first, when it is too late.

        A process may be suspended while it connects, and wake up when others have gone on.
        """
        if not self.sent and self.send_by is not None and self.clock.now() > self.send_by:
            raise TimeoutError
        self.sent = True


_ATTEMPT: ContextVar[Attempt] = ContextVar("attempt")


class _PatientReader(io.RawIOBase):
    """A socket's bytes, for as long as its attempt's patience lasts."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, attempt: Attempt) -> None:
        super().__init__()
        self._raw, self._sock, self._attempt = raw, sock, attempt
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        attempt = self._attempt
        if attempt.remaining_seconds <= 0:
            raise TimeoutError("the answer took too long")
        self._sock.settimeout(max(min(attempt.idle_seconds, attempt.remaining_seconds), 0.001))
        began = attempt.clock.monotonic()
        try:
            count = self._raw.readinto(buffer)
            self.ended = count == 0
            return count
        finally:
            attempt.remaining_seconds -= attempt.clock.monotonic() - began

    def close(self) -> None:
        self._raw.close()
        super().close()


class _PatientResponse(http.client.HTTPResponse):
    """An answer read under its attempt's patience, status line and headers included."""

    def __init__(
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(sock, debuglevel, method, url)
        raw: Any = self.fp.detach()
        self._reader = _PatientReader(raw, sock, _ATTEMPT.get())
        self.fp = io.BufferedReader(self._reader)

    def begin(self) -> None:
        """Read status and headers; the library takes half a block of headers for a whole one."""
        super().begin()
        if self._reader.ended:
            raise http.client.IncompleteRead(b"")


class _WatchedConnection(HTTPConnection):
    """Plain HTTP that notes when a request begins to leave."""

    response_class = _PatientResponse

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        if _ATTEMPT.get().public_only and self.proxy is None:
            # The address really connected to: what a name resolved to earlier proves nothing.
            peer = str(sock.getpeername()[0])
            if not is_public(peer):
                sock.close()
                raise AddressRefused(f"{self.host}: resolves to {peer}, not a public address")
        return sock

    def connect(self) -> None:
        attempt = _ATTEMPT.get()
        before = attempt.sent
        try:
            super().connect()
        finally:
            # A tunnel through a proxy sends bytes of its own; none of them is the request.
            attempt.sent = before

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        _ATTEMPT.get().begin_to_send()
        super().send(data)


class _WatchedTlsConnection(_WatchedConnection, HTTPSConnection):
    """HTTPS that notes when a request begins to leave, which is after the handshake."""


class _WatchedPool(HTTPConnectionPool):
    ConnectionCls = _WatchedConnection


class _WatchedTlsPool(HTTPSConnectionPool):
    ConnectionCls = _WatchedTlsConnection


_POOLS = {"http": _WatchedPool, "https": _WatchedTlsPool}


class WatchedAdapter(HTTPAdapter):
    """Connections of this module for `requests`; it never repeats anything by itself."""

    def __init__(self, connections: int) -> None:
        """Keep up to `connections` idle connections for each host."""
        super().__init__(max_retries=0, pool_connections=8, pool_maxsize=connections)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pool manager, with watched connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the manager of an HTTP proxy's connections, watched too."""
        if proxy.lower().startswith("socks"):
            # Its connections could not tell whether a paid request left.
            raise ConfigurationError("SOCKS proxies are not supported; use an HTTP proxy")
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager


@contextmanager
def watching(attempt: Attempt) -> Iterator[None]:
    """Make `attempt` the one that this thread's connections report to."""
    token = _ATTEMPT.set(attempt)
    try:
        yield
    finally:
        _ATTEMPT.reset(token)


for _name in ("urllib3.connectionpool", "urllib3.connection"):
    logging.getLogger(_name).addFilter(RedactedLog())
