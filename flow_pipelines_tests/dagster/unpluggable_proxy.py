"""A proxy between a machine and a provider, which a test pulls out and puts in again."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self
from urllib.parse import urlsplit

_HOST = "127.0.0.1"
_CHUNK_BYTES = 64 * 1024
_RESET = struct.pack("ii", 1, 0)


class UnpluggableProxy:
    """Carries bytes from a port of its own to a server's, as long as it is plugged in."""

    def __init__(self, server_url: str) -> None:
        self._server_url = server_url
        target = urlsplit(server_url)
        self._target = (target.hostname, target.port)
        self._ends: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._port = 0

    def __enter__(self) -> Self:
        self.plug_in()
        return self

    def __exit__(self, *_: object) -> None:
        self.pull()

    def lead_through(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the variables with every URL at the server leading through this proxy."""
        here = f"http://{_HOST}:{self._port}"
        return {name: v.replace(self._server_url, here) for name, v in environment.items()}

    def plug_in(self) -> None:
        """Carry again, on the same port as ever."""
        listener = socket.create_server((_HOST, self._port), backlog=64)
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def pull(self) -> None:
        """Break what is under way, and refuse every connection from now on."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            ends, self._ends = self._ends, set()
        for end in ends:
            _break(end)

    @contextmanager
    def pulled(self) -> Iterator[None]:
        """Be out of its socket within the block."""
        self.pull()
        try:
            yield
        finally:
            self.plug_in()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:  # pulled
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                _break(near)
                continue
            with self._lock:
                self._ends |= {near, far}
            if self._listener is not listener:  # pulled between accepting and noting it
                _break(near)
                _break(far)
            for start, end in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(start, end), daemon=True).start()

    def _carry(self, start: socket.socket, end: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := start.recv(_CHUNK_BYTES):
                end.sendall(chunk)
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_WR)
        with self._lock:
            self._ends.discard(start)


def _break(end: socket.socket) -> None:
    """End a connection with a reset, as a router does that has lost its memory."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        end.shutdown(socket.SHUT_RDWR)
    end.close()
