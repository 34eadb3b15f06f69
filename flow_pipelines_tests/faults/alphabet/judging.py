"""Tries a cell, and holds it to the table and to what is true of every cell."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from http import HTTPStatus
from itertools import pairwise
from typing import NamedTuple

import pytest
from _pytest.mark import ParameterSet

from flow_pipelines.model import SubmissionState as S
from flow_pipelines.providers import provider_names
from flow_pipelines_tests.faults.alphabet.faults import ROWS
from flow_pipelines_tests.faults.alphabet.harness import NIGHT, AlphabetHarness, Shared
from flow_pipelines_tests.faults.alphabet.outcomes import cell
from flow_pipelines_tests.faults.alphabet.story import Story
from flow_pipelines_tests.faults.alphabet.vocabulary import Call, Fault, Never, Outcome, Way

STORED_NAME = re.compile(r"p0\.0\.[0-9a-f]{8}\.\d+\.(damaged\.)?(png|bin)")


class Case(NamedTuple):
    """A cell that can be tried."""

    provider: str
    call: Call
    fault: Fault
    expected: Outcome


def cells(*calls: Call) -> list[ParameterSet]:
    """Return every cell of these calls that can be, at every provider.

    `make test` tries each outcome of each fault at one provider, in turn; all others are marked
    `exhaustive`.
    """
    rows = [(call, fault) for call in calls for fault in ROWS[call]]
    cases = [param for number, row in enumerate(rows) for param in _row(number, *row)]
    return sorted(cases, key=lambda param: param.values[0].provider)


def _row(number: int, call: Call, fault: Fault) -> Iterator[ParameterSet]:
    """Return a fault's cells, of each outcome one unmarked: at another provider in each row."""
    outcomes = {name: cell(name, call, fault) for name in provider_names()}
    cases = [
        Case(name, call, fault, outcome)
        for name, outcome in outcomes.items()
        if not isinstance(outcome, Never)
    ]
    start = number % max(len(cases), 1)
    tried: list[Outcome] = []
    for case in cases[start:] + cases[:start]:
        marks = pytest.mark.exhaustive if case.expected in tried else ()
        tried.append(case.expected)
        label = f"{case.provider}-{call.name.lower()}-{fault.name}"
        yield pytest.param(case, id=label, marks=marks)


def judge(case: Case, shared: Shared, caplog: pytest.LogCaptureFixture) -> None:
    """Live through a cell."""
    caplog.set_level(logging.DEBUG)
    for others in ("uvicorn.access", "PIL"):  # the stand-in's own log; what is in pictures
        caplog.set_level(logging.WARNING, others)
    shared.begin()
    harness = AlphabetHarness(case.provider, shared)
    story = Story(harness, case.call, case.fault)
    assert story.tell() == case.expected
    assert_happened(story)
    assert_paid_once(story, case.expected)
    if case.fault.name in {"429_told", "429_day"}:
        assert_polite(story)
    assert_no_secret_is_told(harness, caplog.text)
    assert_followed_without_the_key(harness, case.call)
    assert_named_by_us(harness)


def assert_happened(story: Story) -> None:
    """Make sure that the fault was met, and the outcome is not one of fair weather."""
    if story.fault.way is Way.ACTION:
        assert story.seen
    if story.fault.name == "token_ends":
        statuses = [one.status for one in story.harness.sandbox.world.meter.requests()]
        assert HTTPStatus.UNAUTHORIZED in statuses


def assert_paid_once(story: Story, expected: Outcome) -> None:
    reading = story.harness.reading()
    assert reading.duplicate_bills == 0
    assert reading.runs_billed <= 1
    if expected.after is S.UNRESOLVED:
        assert len(story.seen) == 1, "what may have been bought was sent again"
    harness = story.harness
    if not harness.provider.capabilities.replays:
        intents = sum(one.intents for one in harness.ledger.submissions(NIGHT))
        sent = reading.requests.get(harness.operation(Call.SUBMIT), 0)
        assert sent <= intents, "one intent was sent twice"


def assert_polite(story: Story) -> None:
    """Hold every repetition to what the answer before it said."""
    wait = float(story.fault.details["headers"]["retry-after"])
    for path in {one.path for one in story.seen}:
        times = [one.at for one in story.seen if one.path == path]
        pauses = [later - sooner for sooner, later in pairwise(times)]
        assert all(pause > wait - 0.001 for pause in pauses), pauses


def assert_no_secret_is_told(harness: AlphabetHarness, logged: str) -> None:
    written = harness.shared.ledger_text()
    for secret in harness.secrets():
        assert secret not in logged
        assert secret not in "\n".join(harness.lines)
        assert secret not in written
    assert harness.link_root() not in written, "a link that opens a picture"


def assert_followed_without_the_key(harness: AlphabetHarness, call: Call) -> None:
    seen = harness.shared.elsewhere.seen
    assert not seen or call is Call.DOWNLOAD
    assert not any(secret in request for secret in harness.secrets() for request in seen)


def assert_named_by_us(harness: AlphabetHarness) -> None:
    """No name that a provider gives becomes a part of a path."""
    folder = harness.store.key(NIGHT.batch, NIGHT.partition_key, "")
    for key in harness.store.list_keys(""):
        assert key.startswith(harness.store.key(NIGHT.batch, ""))
        if "/images/" in key:
            assert STORED_NAME.fullmatch(key.removeprefix(f"{folder}images/"))
