"""What the base of the adapters does for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

import pytest

from flow_pipelines.model import Cost, CostBasis, Receipt, RunReport, SubmissionState
from flow_pipelines.provider import (
    ApiClient,
    Capabilities,
    InputValues,
    ProviderAdapter,
    SubmitRequest,
)
from flow_pipelines_tests.unit.providers import floimg_harness as floimg
from flow_pipelines_tests.unit.transport.wire import Wire

PRICE = Decimal("0.02")


class Plain(ProviderAdapter[ApiClient]):
    """An adapter that documents neither cancel nor a list."""

    name = "plain"
    capabilities = Capabilities()


def test_a_capability_without_its_verb_is_an_error_where_the_class_is_written() -> None:
    with pytest.raises(TypeError, match=r"'cancel' and send_cancel\(\) disagree"):

        class Cancels(Plain):
            capabilities = Capabilities(cancel=True)


def test_a_verb_that_no_capability_declares_would_never_be_asked_and_is_an_error() -> None:
    with pytest.raises(TypeError, match=r"'find' and find\(\) disagree"):

        class Finds(Plain):
            def find(self, request: SubmitRequest, since: datetime) -> Sequence[Receipt]:
                return ()


@pytest.mark.parametrize(
    ("state", "charged", "price", "cost"),
    [
        (SubmissionState.SUCCEEDED, Decimal("0.5"), PRICE, (Decimal("0.500000"), "charged")),
        (SubmissionState.FAILED, Decimal("0.5"), PRICE, (Decimal("0.500000"), "charged")),
        (SubmissionState.SUCCEEDED, None, PRICE, (Decimal("0.020000"), "estimated")),
        (SubmissionState.FAILED, None, PRICE, (None, "unknown")),
        (SubmissionState.SUCCEEDED, None, None, (None, "unknown")),
    ],
)
def test_a_cost_is_the_charge_else_the_price_of_a_success_else_unknown(
    state: SubmissionState, charged: Decimal | None, price: Decimal | None, cost: object
) -> None:
    report = RunReport(
        provider_run_id="run_1", state=state, provider_status="x", charged_usd=charged
    )
    with Wire() as wire:
        assert floimg.adapter(wire).cost(report, price) == cost  # FloImg has no rule of its own


def test_a_cost_is_unknown_exactly_where_there_is_no_amount() -> None:
    assert Cost.of(None, CostBasis.CHARGED) == (None, CostBasis.UNKNOWN)
    assert str(Cost.of(Decimal("0.0000015"), CostBasis.CHARGED).amount_usd) == "0.000002"


def test_values_of_uploads_are_asked_for_once_and_the_oldest_goes() -> None:
    values, asked = InputValues(most=2), list[str]()

    def ask(name: str) -> str:
        asked.append(name)
        return f"value of {name}"

    for name in ("a", "b", "a", "c", "b", "a"):
        assert values.get_or(name, lambda name=name: ask(name)) == f"value of {name}"
    assert asked == ["a", "b", "c", "a"]
