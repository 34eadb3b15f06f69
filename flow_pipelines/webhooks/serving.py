"""The receiver as a server: uvicorn with bounds, and without a log of addresses."""

from __future__ import annotations

import asyncio
import errno
import socket

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from flow_pipelines.model.errors import ConfigurationError

MOST_CONNECTIONS = 100
MOST_WAITING = 50
"""Connections without a request under way: far enough below all that those with one are served."""
MOST_WAITING_OF_A_PEER = 25
STOP_SECONDS = 10
"""How long a stop waits for callbacks under way; what is cut off is delivered again, or polled."""
_LONGEST_HEAD_BYTES = 16 * 1024


class BoundedProtocol(H11Protocol):
    """HTTP over a connection that ends after a while, whatever the other side does.

    Uvicorn bounds how long a connection is idle between requests, not how slowly a request may
    arrive, and refuses everybody when there are many connections. Here, one that is too many ends
    the oldest that has no request under way.
    """

    lives_seconds = 30.0
    """More than a body, the ledger and the answer may take."""
    head_seconds = 5.0
    """From the connection, or its last answer, until the headers of a request are whole."""
    _head: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timers of a connection, and make room for it."""
        super().connection_made(transport)
        self.began = self.loop.time()
        self._end = self.loop.call_later(self.lives_seconds, transport.close)
        self._time_head()
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timers."""
        self._end.cancel()
        if self._head is not None:
            self._head.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take more of a request."""
        super().data_received(data)
        self._time_head()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._time_head()

    @property
    def waits(self) -> bool:
        """Whether no request with whole headers is under way."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is None or cycle.response_complete

    def _time_head(self) -> None:
        if not self.waits and self._head is not None:
            self._head.cancel()
            self._head = None
        elif self.waits and self._head is None:
            self._head = self.loop.call_later(self.head_seconds, self.transport.abort)

    def _make_room(self) -> None:
        others = [other for other in self.connections if isinstance(other, BoundedProtocol)]
        waiting = sorted((other for other in others if other.waits), key=lambda other: other.began)
        of_this_peer = [other for other in waiting if other.peer == self.peer]
        if len(of_this_peer) > MOST_WAITING_OF_A_PEER:
            of_this_peer[0].give_way()
        elif len(waiting) > MOST_WAITING:
            waiting[0].give_way()

    @property
    def peer(self) -> str:
        """The address of the other side."""
        return self.client[0] if self.client else ""

    def give_way(self) -> None:
        """Close at once, to make room for another connection."""
        self.connections.discard(self)  # the transport tells a moment later that it has ended
        self.transport.abort()


def make_server(app: Starlette) -> uvicorn.Server:
    """Make a server whose `run(sockets=[listen(…)])` serves until SIGTERM or `should_exit`.

    Addresses hold tokens, so it logs none; headers of a proxy are not trusted.
    """
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=_LONGEST_HEAD_BYTES,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=STOP_SECONDS,
    )
    return uvicorn.Server(config)


def listen(host: str, port: int) -> socket.socket:
    """Listen on an address; 0 is any free port. Raises: ConfigurationError."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as problem:
        taken = problem.errno == errno.EADDRINUSE
        why = "something else listens there" if taken else str(problem.strerror or problem)
        raise ConfigurationError(f"cannot listen on {host} port {port}: {why}") from problem
    return listener
