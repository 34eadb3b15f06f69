"""Recorded answers, bent out of shape, and a transport that gives them without a network."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from flow_pipelines.provider import ApiAnswer, ApiRequest, Download, Purpose
from flow_pipelines.transport.verdicts import judge, window_left

SAMPLES = Path(__file__).parents[1] / "samples"
NOW = datetime(2026, 11, 22, tzinfo=UTC)

_TEXTS = st.sampled_from(
    ["", " ", "\0", "\ud800", "../..", "é" * 300, "9" * 5000, "http://[", "https://a.example/b.png"]
) | st.text(max_size=6)
_NUMBERS = st.sampled_from([0, -1, 2**63, 2**64, 1e308, 0.5, math.nan, math.inf]) | st.integers()
_LEAVES = st.none() | st.booleans() | _NUMBERS | _TEXTS
ODD = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXTS, inner, max_size=3),
    max_leaves=5,
)
"""Any JSON, and what Python takes for it."""
_BROKEN = [b"", b"null", b"\xff\xfe", b"[" * 50_000, b"<html>", b'{"a":', b"9" * 5000]
_STATUSES = st.sampled_from([200, 201, 202, 204, 400, 401, 404, 409, 422, 429, 500, 503])


def recorded(provider: str, case: str) -> ApiAnswer:
    """A recorded answer as it came."""
    sample = json.loads((SAMPLES / provider / f"{case}.json").read_text())
    headers = {name.lower(): value for name, value in sample.get("headers", {}).items()}
    body = json.dumps(sample["body"]).encode()
    return ApiAnswer(status=sample["status"], headers=headers, body=body)


def _holders(value: Any) -> Iterator[Any]:
    """Every object and list inside a document that is not empty."""
    if isinstance(value, dict | list):
        if value:
            yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _holders(inner)


def _bend(draw: st.DrawFn, document: Any) -> None:
    holders = list(_holders(document))
    if not holders:
        return
    holder = draw(st.sampled_from(holders))
    key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
    way = draw(st.sampled_from(["drop", "retype", "wrap", "list", "add"]))
    if way == "drop":
        del holder[key]
    elif way == "retype":
        holder[key] = draw(ODD)
    elif way == "wrap":
        holder[key] = {"data": holder[key]}
    elif way == "list":
        holder[key] = [holder[key], draw(ODD)]
    elif isinstance(holder, dict):
        holder[draw(_TEXTS | st.sampled_from(["id", "data", "items", "__class__"]))] = draw(ODD)
    else:
        holder.append(draw(ODD))


@st.composite
def bent(draw: st.DrawFn, answer: ApiAnswer) -> ApiAnswer:
    """Drop, add, retype and nest fields of an answer, break its text, change its status."""
    document = copy.deepcopy(answer.json())
    for _ in range(draw(st.integers(0, 3))):
        _bend(draw, document)
    content = json.dumps(draw(st.just(document) | ODD)).encode()
    if draw(st.integers(0, 5)) == 0:
        content = content[: draw(st.integers(0, len(content)))] + draw(st.sampled_from(_BROKEN))
    status = draw(st.just(answer.status) | _STATUSES)
    headers = {name: draw(st.just(value) | _TEXTS) for name, value in answer.headers.items()}
    return ApiAnswer(status=status, headers=headers, body=content)


class Scripted:
    """A transport that judges its answers as the real one does; the last one answers the rest."""

    def __init__(self, provider: str, *answers: ApiAnswer) -> None:
        self._provider, self._answers = provider, answers
        self.requests: list[ApiRequest] = []

    def send(self, request: ApiRequest) -> ApiAnswer:
        answer = self._answers[min(len(self.requests), len(self._answers) - 1)]
        self.requests.append(request)
        error = judge(self._provider, request, answer, now=NOW, secrets=())
        window_left(request, answer, now=NOW)
        if error is not None:
            raise error
        return answer

    def take_turn(self, purpose: Purpose) -> None:
        assert purpose is Purpose.SUBMIT

    @contextmanager
    def open(self, request: ApiRequest, *, max_bytes: int) -> Iterator[Download]:
        raise NotImplementedError(request.operation, max_bytes)
        yield
