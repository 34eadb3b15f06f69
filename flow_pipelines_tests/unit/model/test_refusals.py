"""Which refusals are of one kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from flow_pipelines.model.errors import RequestRejected


def kind(
    message: str = "",
    *fields: Mapping[str, Any],
    status: int = 400,
    code: str | None = "invalid",
) -> str:
    return RequestRejected(
        message,
        provider="floyo",
        operation="create_run",
        status=status,
        code=code,
        fields=fields,
        request_id=f"request of {message}",
    ).kind


def fault(node: str = "4", kind: str = "value_not_in_list", said: str = "") -> dict[str, str]:
    return {"node": node, "type": kind, "message": said}


SAME: Sequence[tuple[str, str]] = (
    (kind("no 'a.safetensors' in \"list\""), kind("no 'b.safetensors' in \"other\"")),
    (kind("width 9000 is above 8192"), kind("width 9001 is above 8192")),
    (kind("a cat", fault(said="a cat")), kind("a dog", fault(said="a dog"))),
    (kind("", fault("4"), fault("7")), kind("", fault("7"), fault("4"))),
    (
        kind("", {"field": "prompt", "message": "'a' is bad"}),
        kind("", {"field": "prompt", "message": "'b' is bad"}),
    ),
)
OTHER: Sequence[tuple[str, str]] = (
    (kind("bad"), kind("bad", status=422)),
    (kind("bad"), kind("bad", code="other")),
    (kind("bad"), kind("worse")),
    (kind("node 4: bad"), kind("node 7: bad")),
    (kind("", fault("4")), kind("", fault("7"))),
    (kind("", fault(kind="value_not_in_list")), kind("", fault(kind="invalid_input_type"))),
    (kind("", fault("4")), kind("", fault("4"), fault("7"))),
    (
        kind("", {"field": "prompt", "message": "bad"}),
        kind("", {"field": "style", "message": "bad"}),
    ),
)


@pytest.mark.parametrize(("one", "other"), SAME)
def test_refusals_that_only_quote_other_values_are_of_one_kind(one: str, other: str) -> None:
    assert one == other


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_status_code_node_or_type_is_another_kind(one: str, other: str) -> None:
    assert one != other
