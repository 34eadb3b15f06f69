"""What every call of Floyo has in common: its declaration, its errors, its links."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flow_pipelines.model import json_values as read
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.provider import ApiAnswer, ApiDefaults, ErrorBody, Verdict

NAME = "floyo"
RUNS_PAGE = "docs.floyo.ai/workflow-runs"
FILES_PAGE = "docs.floyo.ai/files"
DEMO = "github.com/FloyoAI/floyo-api-nodejs-demo"
CONFLICT = 409

ACCOUNT_STATUSES = ("insufficient_balance", "insufficient_api_credits")
"""From the end states of Floyo's own demo."""
VERDICTS: Mapping[int | str, Verdict] = dict.fromkeys(ACCOUNT_STATUSES, Verdict.ACCOUNT)
"""Of calls that cost nothing, whatever HTTP status they come with."""
SHORTEST_EXPIRY_SECONDS, LONGEST_EXPIRY_SECONDS = 30, 604_800
"""Life of a presigned URL; source: docs.floyo.ai/workflow-runs."""


def read_error(answer: ApiAnswer) -> ErrorBody:
    """Read `{error, message?}`; source: docs.floyo.ai/floyo-api-introduction.

    `error` is a short text ("run not found"); only where it looks like a code is it one. A
    `suggestion`, which a name that is taken comes with, is told as a field.
    """
    document = answer.json()
    if isinstance(document.get("error"), dict):
        return read_refused_graph(document)
    error, message = read.text(document.get("error")), read.text(document.get("message"))
    code = read.code(error)
    said = [text for text in (None if code else error, message) if text]
    suggestion = read.text(document.get("suggestion"))
    fields = () if suggestion is None else ({"suggestion": suggestion},)
    return ErrorBody(code=code, message=": ".join(said) or (error or ""), fields=fields)


def read_refused_graph(document: Mapping[str, Any]) -> ErrorBody:
    """Read ComfyUI's own `{error: {type, message}, node_errors: {id: {class_type, errors}}}`.

    Source: ComfyUI's execution.py; how Floyo wraps it is not documented.
    """
    fields = [
        {"node": node_id, "type": read.text(error.get("type")) or "", "message": _words_of(error)}
        for node_id, node in read.members(document.get("node_errors")).items()
        for error in read.objects(read.members(node).get("errors")) or ()
    ]
    refusals = [f"node {field['node']}: {field['message']}" for field in fields]
    message = "; ".join([_words_of(document["error"]), *refusals])
    return ErrorBody(code=read.code(document["error"].get("type")), message=message, fields=fields)


def _words_of(error: Mapping[str, Any]) -> str:
    said = (read.text(error.get("message")), read.text(error.get("details")))
    return ": ".join(text for text in said if text)


def expansion(what: str, expand: bool, expires_in: int | None) -> dict[str, str]:  # noqa: FBT001 - as its callers
    """Return the query that asks for links.

    Raises: ConfigurationError, where Floyo refuses the expiry: it has to be in range, and to come
    with the expansion that it belongs to.
    """
    if expires_in is None:
        return {"expand": what} if expand else {}
    if not expand or not SHORTEST_EXPIRY_SECONDS <= expires_in <= LONGEST_EXPIRY_SECONDS:
        raise ConfigurationError(
            f"presigned_url_expires_in={expires_in}: Floyo takes {SHORTEST_EXPIRY_SECONDS} … "
            f"{LONGEST_EXPIRY_SECONDS} seconds, and only with expand=True"
        )
    return {"expand": what, "presigned_url_expires_in": str(expires_in)}


API = ApiDefaults(provider=NAME, source=RUNS_PAGE, verdicts=VERDICTS, read_error=read_error)
