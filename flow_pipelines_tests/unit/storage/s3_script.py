"""Answers that a test puts in a server's mouth, and what was asked."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.awsrequest import AWSResponse
from urllib3 import HTTPResponse

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Step = AWSResponse | Exception | Callable[[], AWSResponse | Exception | None] | None


def answer(
    status: int,
    code: str = "",
    *,
    message: str = "as scripted",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    url: str = "http://scripted.invalid/",
) -> AWSResponse:
    """Make an answer: an S3 error document for `code`, else `body`."""
    if body is None:
        xml = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        body = xml.encode() if code else b""
    all_headers = {"content-length": str(len(body)), **(headers or {})}
    raw = HTTPResponse(io.BytesIO(body), headers=all_headers, preload_content=False)
    return AWSResponse(url, status, raw.headers, raw)


class Script:
    """Plays steps for one operation: an answer, an error, or None for the real server."""

    def __init__(self, client: S3Client, operation: str, *steps: Step) -> None:
        self.steps = deque(steps)
        self.requests: list[Any] = []
        self._events, self._event = client.meta.events, f"before-send.s3.{operation}"
        self._events.register(self._event, self._play)

    def stop(self) -> None:
        self._events.unregister(self._event, self._play)

    def _play(self, request: Any, **_: Any) -> AWSResponse | None:
        if request.url.endswith("/_store.json"):
            return None
        self.requests.append(request)
        step = self.steps.popleft() if self.steps else None
        if callable(step):
            step = step()
        if isinstance(step, Exception):
            raise step
        return step
