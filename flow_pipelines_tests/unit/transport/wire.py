"""A server on loopback that answers, or fails to, byte by byte as a test says."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True)
class Seen:
    """One request that arrived whole."""

    connection: int
    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body)


Step = Callable[[socket.socket], bool]
"""Answers one request; True keeps the connection for a next one."""


def answer(
    status: int = 200,
    body: bytes | str | Mapping[str, Any] | list[Any] = b"{}",
    *,
    keep: bool = True,
    **headers: str,
) -> Step:
    """Send a whole answer; underscores in header names stand for hyphens."""
    content = (
        body
        if isinstance(body, bytes)
        else (body if isinstance(body, str) else json.dumps(body)).encode()
    )
    lines = {"content-length": str(len(content))}
    lines.update({name.replace("_", "-"): value for name, value in headers.items()})
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value)
    return raw(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode("latin-1") + content, keep=keep)


def raw(data: bytes, *, keep: bool = False) -> Step:
    """Send these bytes and nothing else."""

    def step(connection: socket.socket) -> bool:
        connection.sendall(data)
        return keep

    return step


def reset(connection: socket.socket) -> bool:
    """Break the connection without a word."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def hang_up(connection: socket.socket) -> bool:
    """Close the connection politely, without an answer."""
    del connection
    return False


class Wire:
    """Listens between `__enter__` and `__exit__`; the last step answers all further requests."""

    def __init__(self, *steps: Step) -> None:
        self._steps: Sequence[Step] = steps or (answer(),)
        self.requests: list[Seen] = []
        self.connections = 0
        self.ended = threading.Event()
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._open:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def drip(self, head: bytes, every_seconds: float = 0.05) -> Step:
        """Send `head`, then a byte now and then, for ever."""

        def step(connection: socket.socket) -> bool:
            connection.sendall(head)
            while not self.ended.wait(every_seconds):
                connection.sendall(b"x")
            return False

        return step

    def silence(self, connection: socket.socket) -> bool:
        """Say nothing for as long as the test runs."""
        del connection
        self.ended.wait(30)
        return False

    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(connection)
            arguments = (connection, self.connections)
            threading.Thread(target=self._serve, args=arguments, daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError, ValueError):
            reader = connection.makefile("rb")
            keep = True
            while keep and (request := _read(reader, number)) is not None:
                with self._lock:
                    step = self._steps[min(len(self.requests), len(self._steps) - 1)]
                    self.requests.append(request)
                keep = step(connection)
            reader.close()


def _read(reader: Any, number: int) -> Seen | None:
    first = reader.readline()
    if not first.endswith(b"\r\n"):
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := reader.readline()) not in (b"\r\n", b""):
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))
    return Seen(number, method, target, headers, body)
