"""No documented call is without client, stand-in and test; and no page is out of date."""

from __future__ import annotations

import pytest

from flow_pipelines.providers import profile, provider_names
from flow_pipelines_tests.conformance.calls.document import FILE, page
from flow_pipelines_tests.conformance.calls.table import (
    Row,
    client_class,
    marked_tests,
    rows,
    sandbox_calls,
)


@pytest.mark.parametrize(
    "row", list(rows()), ids=lambda r: f"{r.provider}.{r.documented.operation}"
)
def test_a_documented_call_has_client_stand_in_and_test(row: Row) -> None:
    assert row.method, "no method of the client"
    assert row.route, "no route of the sandbox"
    assert row.tests, "no test"


@pytest.mark.parametrize("name", provider_names())
def test_the_stand_in_answers_nothing_that_the_client_does_not_speak(name: str) -> None:
    # Some of it only others' clients show, so it stands in no table of what is documented.
    answered = {call.operation for call in sandbox_calls(name)}
    assert {one for one in answered if not hasattr(client_class(name), one)} == set()


def test_marks_name_calls_that_there_are() -> None:
    known = {(name, call.operation) for name in provider_names() for call in profile(name).calls}
    assert set(marked_tests()) <= known


def test_the_page_is_what_make_docs_would_write() -> None:
    assert FILE.read_text(encoding="utf-8") == page()
