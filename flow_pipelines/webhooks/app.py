"""The receiver's HTTP: bounded in size, time and number, and silent about why it refuses."""

from __future__ import annotations

import asyncio

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from flow_pipelines.webhooks.handler import CallbackHandler, Reply

MAX_BODY_BYTES = 64 * 1024
"""FLORA's messages and Comflowy's results are a few kilobytes at the most."""
BODY_SECONDS = 10.0
"""As long as FLORA itself waits for an answer."""
WORKERS = 4
MOST_WAITING = 16
"""Callbacks in progress or waiting; further ones are answered with 503 and come again."""
RETRY_AFTER_SECONDS = 10
_TEXTS = {
    Reply.REFUSED: "refused",
    Reply.UNKNOWN: "no such submission",
    Reply.CONFLICT: "known differently",
    Reply.AGAIN: "come again",
}


class TooLong(Exception):
    """A body that is too large or too slow, with the status of the answer."""

    def __init__(self, status: int, text: str) -> None:
        """Keep what to answer."""
        super().__init__(text)
        self.status = status


def make_app(handler: CallbackHandler, *, body_seconds: float = BODY_SECONDS) -> Starlette:
    """Make the application: callbacks at the addresses that providers have, and `GET /health`."""
    receiver = _Receiver(handler, body_seconds)
    address = "/callbacks/{provider}/{name:path}/{token}"
    app = Starlette(
        routes=[
            Route("/health", _health, methods=["GET"]),
            Route(address, receiver.receive, methods=["POST"]),
        ]
    )
    app.router.redirect_slashes = False  # a redirect would repeat the token
    return app


async def _health(request: Request) -> Response:
    """Answer that this process is up. Does no work: anyone may call it as often as they like."""
    del request
    return PlainTextResponse("ok\n")


class _Receiver:
    def __init__(self, handler: CallbackHandler, body_seconds: float) -> None:
        self._handler, self._body_seconds = handler, body_seconds
        self._in_progress = 0
        self._limiter: CapacityLimiter | None = None

    async def receive(self, request: Request) -> Response:
        """Answer one callback. Nothing is read, or asked of the ledger, before its token fits."""
        provider, name, token = (
            request.path_params[part] for part in ("provider", "name", "token")
        )
        if not self._handler.knows(provider, name, token):
            return _answer(Reply.REFUSED)
        try:
            body = await _read_body(request, self._body_seconds)
        except TooLong as problem:
            return _closing(PlainTextResponse(f"{problem}\n", problem.status))
        except ClientDisconnect:
            return _closing(Response(status_code=400))
        headers = {name: request.headers[name] for name in request.headers}
        callback = self._handler.read(provider, headers, body)
        if callback is None:
            return _answer(Reply.REFUSED)
        if self._in_progress >= MOST_WAITING:
            return _answer(Reply.AGAIN)
        self._in_progress += 1
        try:
            take = self._handler.take
            return _answer(
                await to_thread.run_sync(take, provider, name, callback, limiter=self._workers())
            )
        finally:
            self._in_progress -= 1

    def _workers(self) -> CapacityLimiter:
        if self._limiter is None:
            self._limiter = CapacityLimiter(WORKERS)  # belongs to the loop that serves
        return self._limiter


async def _read_body(request: Request, seconds: float) -> bytes:
    """Read a body. Raises: TooLong; ClientDisconnect."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > MAX_BODY_BYTES:
        raise TooLong(413, "too large")
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise TooLong(413, "too large")
    except TimeoutError:
        raise TooLong(408, "too slow") from None
    return bytes(body)


def _answer(reply: Reply) -> Response:
    if reply is Reply.TAKEN:
        return Response(status_code=reply)
    response = PlainTextResponse(f"{_TEXTS[reply]}\n", reply)
    if reply is Reply.AGAIN:
        response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return _closing(response)


def _closing(response: Response) -> Response:
    """Close the connection after this answer, without reading what else was sent over it."""
    response.headers["Connection"] = "close"
    return response
