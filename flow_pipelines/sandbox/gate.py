"""The way of every request: key, rate limit, fault, handler, fault, log."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from dataclasses import replace
from urllib.parse import quote, urlencode

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from flow_pipelines.sandbox.bending import bent_answer
from flow_pipelines.sandbox.connection import drop, send_cut, send_without_end
from flow_pipelines.sandbox.faults import Action, Fault
from flow_pipelines.sandbox.meter import RequestRecord
from flow_pipelines.sandbox.wire import Answer, Ask, Call, Dialect, Refused, Upload
from flow_pipelines.sandbox.world import World

_logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 32 * 1024 * 1024
_SECRET_QUERY = re.compile(r"((?:^|&)(?:token|ppt|access_token|key)=)[^&]*")
_HTML = b"<!doctype html><title>Just a moment</title><h1>Checking your browser</h1>"


class Gate:
    """One call of one provider as an ASGI application."""

    def __init__(self, world: World, dialect: Dialect, call: Call) -> None:
        self._world = world
        self._dialect = dialect
        self._call = call

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or drop it, and note it."""
        request, at = Request(scope, receive), self._world.now()
        ask, fault, answer = None, self._fault(request.url.path, refusing=True), None
        try:
            if fault is not None:
                await drop(scope, receive, reset=True)
                return
            ask = await self._read(request)
            fault, answer = await self._decide(ask)
            if answer is None:
                await drop(scope, receive)
            else:
                await self._send(answer, fault, request, send)
        finally:
            self._note(request, at, ask, fault, answer)

    async def _decide(self, ask: Ask) -> tuple[Fault | None, Answer | None]:
        ask, refused = self._admit(ask)
        if refused is not None:
            return None, self._dialect.finish(ask, refused)
        text = f"{ask.path} {ask.body[:200_000].decode('utf-8', 'replace')}"
        fault = self._fault(text)
        answer = self._before(ask, fault)
        if fault is not None and fault.action is Action.DROP_BEFORE_ACCEPT:
            return fault, None
        if fault is not None and fault.action is Action.SLOW_ACCEPT:
            await asyncio.sleep(fault.seconds)
        if answer is None:
            ask = replace(ask, fault=fault)
            answer = bent_answer(await run_in_threadpool(self._handled, ask), fault)
        if fault is not None and fault.action is Action.DROP_AFTER_ACCEPT:
            return fault, None
        if fault is not None and fault.action is Action.SLOW_ANSWER:
            await asyncio.sleep(fault.seconds)
        return fault, self._dialect.finish(ask, answer)

    def _admit(self, ask: Ask) -> tuple[Ask, Answer | None]:
        if len(ask.body) > MAX_BODY_BYTES:
            return ask, self._dialect.refusal(413, "request body too large")
        if not self._call.authenticated:
            return ask, None
        account = self._dialect.account(ask, self._world.keys(self._dialect))
        if account is None:
            return ask, self._dialect.refusal(401, "invalid api key")
        ask = replace(ask, account=account)
        if not self._call.limited:
            return ask, None
        standing = self._world.take_turn(self._dialect, account)
        ask = replace(ask, standing=standing)
        if standing.allowed:
            return ask, None
        return ask, self._dialect.refusal(429, "rate limit exceeded", standing)

    def _fault(self, text: str, *, refusing: bool = False) -> Fault | None:
        return self._world.faults.pick(
            self._dialect.name,
            self._call.operation,
            text,
            lambda action: (action is Action.REFUSE) == refusing,
        )

    def _before(self, ask: Ask, fault: Fault | None) -> Answer | None:
        if fault is not None and fault.action is Action.HTML_200:
            return Answer(body=_HTML, media_type="text/html; charset=utf-8")
        if fault is not None and fault.action is Action.REDIRECT:
            query = f"?{urlencode(ask.query)}" if ask.query else ""
            return Answer(status=302).with_headers(location=f"{fault.word}{quote(ask.path)}{query}")
        if fault is None or fault.action is not Action.STATUS:
            return None
        message = fault.word or f"sandbox fault {fault.status}"
        answer = self._dialect.refusal(fault.status, message)
        if isinstance(fault.body, str):
            answer = replace(answer, body=fault.body.encode(), media_type="text/plain")
        elif fault.body is not None:
            answer = replace(answer, body=json.dumps(fault.body).encode())
        return replace(answer, headers={**answer.headers, **fault.headers})

    def _handled(self, ask: Ask) -> Answer:
        try:
            return self._call.handle(ask)
        except Refused as refused:
            return refused.answer
        except Exception:
            _logger.exception("%s %s", self._dialect.name, self._call.operation)
            return self._dialect.refusal(500, "the sandbox itself failed; see its log")

    async def _read(self, request: Request) -> Ask:
        body = bytearray()
        async for chunk in request.stream():
            if len(body) <= MAX_BODY_BYTES:  # the rest is read, so that the answer is heard
                body += chunk
        return Ask(
            method=request.method,
            path=request.url.path,
            base_url=str(request.base_url).rstrip("/"),
            arguments=dict(request.path_params),
            query=dict(request.query_params),
            headers={name.lower(): value for name, value in request.headers.items()},
            body=bytes(body),
            form=await _form(request, bytes(body)),
        )

    async def _send(
        self, answer: Answer, fault: Fault | None, request: Request, send: Send
    ) -> None:
        headers = {
            **answer.headers,
            "content-type": answer.media_type,
            "content-length": str(len(answer.body)),
        }
        start: Message = {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        if fault is not None and fault.action is Action.TRUNCATE_OUTPUT and answer.status < 400:  # noqa: PLR2004 - HTTP's line
            await send_cut(request, send, start, answer.body)
            return
        if fault is not None and fault.action is Action.ENDLESS_BODY:
            await send_without_end(request, send, start, answer.body)
            return
        await send(start)
        await send({"type": "http.response.body", "body": answer.body})

    def _note(
        self,
        request: Request,
        at: float,
        ask: Ask | None,
        fault: Fault | None,
        answer: Answer | None,
    ) -> None:
        query = _SECRET_QUERY.sub(r"\1[redacted]", request.url.query)
        self._world.meter.record(
            RequestRecord(
                number=0,
                at=at,
                provider=self._dialect.name,
                operation=self._call.operation,
                key=self._label(ask),
                method=request.method,
                path=request.url.path + (f"?{query}" if query else ""),
                status=answer.status if answer else 0,
                fault=fault.action if fault else "",
            )
        )

    def _label(self, ask: Ask | None) -> str:
        if ask is None:
            return ""
        return self._dialect.account(ask, self._world.keys(self._dialect)) or ""


async def _form(request: Request, body: bytes) -> dict[str, str | Upload]:
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        return {}

    async def once() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    found: dict[str, str | Upload] = {}
    async with Request(request.scope, once).form() as form:
        for name, value in form.items():
            found[name] = await _upload(value) if isinstance(value, UploadFile) else value
    return found


async def _upload(file: UploadFile) -> Upload:
    return Upload(
        file_name=file.filename or "upload",
        media_type=file.content_type or "application/octet-stream",
        content=await file.read(),
    )
