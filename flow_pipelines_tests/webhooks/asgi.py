"""One request to an ASGI application, byte for byte and without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import unquote

from starlette.types import ASGIApp


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: str


def ask(
    app: ASGIApp,
    path: str,
    *chunks: bytes,
    method: str = "POST",
    headers: Sequence[tuple[bytes, bytes]] = (),
    stays_open: bool = False,
    leaves: bool = False,
) -> Answer:
    """Send a body in chunks; `stays_open`: its end never comes, `leaves`: the client goes first."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode("utf-8", "replace"),
        "query_string": b"",
        "root_path": "",
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    waiting: list[dict[str, Any]] = [
        {"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks
    ]
    if leaves:
        waiting.append({"type": "http.disconnect"})
    elif not stays_open:
        waiting.append({"type": "http.request", "body": b"", "more_body": False})
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if not waiting:
            await asyncio.Event().wait()
        return waiting.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(app(scope, receive, send))
    head = sent[0]
    body = b"".join(message.get("body", b"") for message in sent[1:])
    found = {name.decode(): value.decode() for name, value in head["headers"]}
    return Answer(head["status"], found, body.decode())
