"""Connections that can be dropped: ASGI itself has no way to answer nothing at all."""

from __future__ import annotations

import asyncio
from typing import cast

from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol


class DroppableProtocol(H11Protocol):
    """Uvicorn's HTTP protocol, letting the application get at the socket's transport."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Hand the transport to every request of this connection."""
        self.app_state = {**self.app_state, "transport": transport}
        super().connection_made(transport)


async def drop(scope: Scope, receive: Receive, *, reset: bool = False) -> None:
    """Close the connection with no further byte of an answer; `reset` does not even flush."""
    transport = cast("asyncio.Transport", scope["state"]["transport"])
    if reset:
        transport.abort()
    else:
        transport.close()
    # Returning before uvicorn has noticed would make it answer 500.
    while (await receive())["type"] != "http.disconnect":
        pass


async def send_cut(request: Request, send: Send, start: Message, body: bytes) -> None:
    """Send the head of an answer and half its body, then close the connection."""
    await send(start)
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
    await drop(request.scope, request.receive)


async def send_without_end(request: Request, send: Send, start: Message, body: bytes) -> None:
    """Announce no length and send blanks behind the answer until the client has had enough."""
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    await send({**start, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    blanks = b" " * 256 * 1024
    while not await request.is_disconnected():
        await send({"type": "http.response.body", "body": blanks, "more_body": True})
