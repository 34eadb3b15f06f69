"""Money, times and words at the edge of the database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from flow_pipelines.ledger.column_types import (
    Instant,
    JsonText,
    MicroUsd,
    WholeNumber,
    Words,
    from_micros,
    to_micros,
)

DIALECT = sqlite.dialect()
micro_usd = st.integers(-(10**17), 10**17).map(lambda micros: Decimal(micros).scaleb(-6))


@given(micro_usd)
def test_money_of_six_decimals_is_kept_exactly(amount: Decimal) -> None:
    kind = MicroUsd()

    assert kind.process_result_value(kind.process_bind_param(amount, DIALECT), DIALECT) == amount


@given(st.lists(micro_usd, max_size=50))
def test_sums_of_money_are_those_of_its_parts(amounts: list[Decimal]) -> None:
    kind = MicroUsd()
    kept = sum(kind.process_bind_param(amount, DIALECT) or 0 for amount in amounts)

    assert kind.process_result_value(kept, DIALECT) == sum(amounts, Decimal(0))


@pytest.mark.parametrize(("amount", "micros"), [("0.0000004", 0), ("0.0000005", 1), ("1e-5", 10)])
def test_finer_money_is_rounded_to_a_micro_dollar(amount: str, micros: int) -> None:
    assert MicroUsd().process_bind_param(Decimal(amount), DIALECT) == micros


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),  # noqa: DTZ001 - the zone is added
    st.integers(-23, 23),
)
def test_a_time_comes_back_in_utc_to_the_microsecond(moment: datetime, hours: int) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(hours=hours)))

    back = from_micros(to_micros(aware))

    assert back == aware
    assert back.tzinfo is UTC


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="zone"):
        Instant().process_bind_param(datetime(2026, 11, 22), DIALECT)  # noqa: DTZ001 - the point


@given(st.integers(0, 2**70))
def test_integers_of_any_size_are_kept_exactly(number: int) -> None:
    kind = WholeNumber()

    assert kind.process_result_value(kind.process_bind_param(number, DIALECT), DIALECT) == number


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    )
)
def test_json_is_read_back_as_written_and_is_plain_ascii(value: object) -> None:
    kind = JsonText()
    kept = kind.process_bind_param(value, DIALECT)

    assert kind.process_result_value(kept, DIALECT) == value
    assert kept is None or kept.isascii()


def test_a_secret_at_the_cut_is_masked_before_the_cut() -> None:
    words = "x" * 3990 + " flo_abcdefghijklmnop"

    kept = Words().process_bind_param(words, DIALECT)

    assert kept is not None
    assert "flo_abc" not in kept
    assert len(kept) <= 4000
