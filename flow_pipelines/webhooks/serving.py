"""The receiver as a server: uvicorn with bounds, and without a log of addresses."""

from __future__ import annotations

import asyncio
import errno
import socket

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from flow_pipelines.model.errors import ConfigurationError

MOST_CONNECTIONS = 100
STOP_SECONDS = 10
"""How long a stop waits for callbacks under way; what is cut off is delivered again, or polled."""
_LONGEST_HEAD_BYTES = 16 * 1024


class BoundedProtocol(H11Protocol):
    """HTTP over a connection that ends after a while, whatever the other side does.

    Uvicorn bounds how long a connection rests between requests, not how long one may dribble.
    """

    lives_seconds = 30.0
    """More than a body, the ledger and the answer may take."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and plan the end."""
        super().connection_made(transport)
        self._end = self.loop.call_later(self.lives_seconds, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the planned end."""
        self._end.cancel()
        super().connection_lost(exc)


def make_server(app: Starlette) -> uvicorn.Server:
    """Make a server whose `run(sockets=[listen(…)])` serves until SIGTERM or `should_exit`.

    Addresses hold tokens, so it logs none; headers of a proxy are not believed.
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
