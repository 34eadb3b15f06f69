"""What an answer has to be, and the error for one that is not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flow_pipelines.model import json_values
from flow_pipelines.model.errors import SubmitOutcomeUnknown, UnexpectedAnswer
from flow_pipelines.provider.calls import ApiAnswer, ApiRequest, Resend


def expect_object(provider: str, request: ApiRequest, answer: ApiAnswer) -> Mapping[str, Any]:
    """Return the JSON object that `answer` has to be.

    Raises: UnexpectedAnswer, for HTML, lists, null and the like; SubmitOutcomeUnknown instead
    where `request` may have bought something.
    """
    try:
        document = answer.json()
    except (ValueError, RecursionError):
        document = None
    if isinstance(document, dict):
        return document
    raise unexpected(provider, request, answer, "the answer is not a JSON object")


def expect_objects(
    provider: str, request: ApiRequest, answer: ApiAnswer, *names: str
) -> Sequence[Mapping[str, Any]]:
    """Return the list of JSON objects in `answer`: bare, or under one of `names`, `data`, `items`.

    Raises: as `expect_object`.
    """
    try:
        found = json_values.objects(answer.json(), *names)
    except (ValueError, RecursionError):
        found = None
    if found is None:
        raise unexpected(provider, request, answer, "the answer holds no list")
    return found


def unexpected(
    provider: str, request: ApiRequest, answer: ApiAnswer, why: str
) -> UnexpectedAnswer | SubmitOutcomeUnknown:
    """Build the error for an answer that is not what the provider documents."""
    paid = request.resend is not Resend.SAFE
    return (SubmitOutcomeUnknown if paid else UnexpectedAnswer)(
        why,
        provider=provider,
        operation=request.operation,
        status=answer.status,
        request_id=request_id(answer),
        provider_run_id=request.provider_run_id,
    )


def request_id(answer: ApiAnswer) -> str | None:
    """Return the provider's name for this very answer, which its support asks for."""
    found = answer.headers.get("request-id") or answer.headers.get("x-request-id")
    return found[:200] if found else None
