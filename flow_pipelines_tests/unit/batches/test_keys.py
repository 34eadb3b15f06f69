from __future__ import annotations

import pytest

from flow_pipelines.batches.keys import derive_seed, path_safe, seed_of, stable_hash, submission_key
from flow_pipelines.model import Night, PromptRow

NIGHT = Night("posters", "2026-11-21")


def test_keys_and_seeds_are_the_same_in_every_release() -> None:
    # A ledger full of keys exists out there: another key would buy every picture again.
    assert submission_key(NIGHT, "row-1", 0, 0) == "1f8fdc6583ead016232f0992f6904c0e"
    assert derive_seed(NIGHT, "row-1", 0, 0) == 1564630335
    assert (
        stable_hash({"b": [1, 2.5, None, "é"], "a": True})
        == "9c4bfd7a7a37f79a4cc84517bc1a568ada4dd69609e566813b0e51f5507ef70c"
    )


@pytest.mark.parametrize(
    "other",
    [
        (Night("posters", "2026-11-22"), "row-1", 0, 0),
        (Night("poster", "s2026-11-21"), "row-1", 0, 0),
        (NIGHT, "row-2", 0, 0),
        (NIGHT, "row-1", 1, 0),
        (NIGHT, "row-1", 0, 1),
    ],
)
def test_every_part_of_a_submission_changes_its_key_and_its_seed(
    other: tuple[Night, str, int, int],
) -> None:
    assert submission_key(*other) != submission_key(NIGHT, "row-1", 0, 0)
    assert derive_seed(*other) != derive_seed(NIGHT, "row-1", 0, 0)


def test_the_hash_ignores_the_order_of_keys_but_not_the_type_of_a_number() -> None:
    assert stable_hash({"a": 1, "b": 2}) == stable_hash({"b": 2, "a": 1})
    assert len({stable_hash(value) for value in (1, 1.0, "1", True)}) == 4


def test_the_hash_tells_large_integers_apart_that_are_one_float() -> None:
    assert float(2**64 - 1) == float(2**64 - 2)
    assert stable_hash(2**64 - 1) != stable_hash(2**64 - 2)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_what_is_not_json_has_no_hash(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        stable_hash(value)


@pytest.mark.parametrize("text", ["a", "2026-11-21", "A.b_c-9", "...", "x" * 100])
def test_a_harmless_text_is_its_own_path(text: str) -> None:
    assert path_safe(text) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", "a/b", "../x", "a b", "é", "a\n", "a\0", "x" * 101, "a\\b", "\ud800"]
)
def test_anything_else_becomes_a_hash_that_is_a_harmless_path(text: str) -> None:
    safe = path_safe(text)
    assert safe != text
    assert path_safe(safe) == safe
    assert safe == path_safe(text)


def _row(seed: int | None) -> PromptRow:
    return PromptRow(prompt_id="row-1", row_number=0, prompt="", seed=seed, values={})


def test_a_rows_own_seed_counts_up_with_the_copy_and_stays_for_every_night_and_generation() -> None:
    assert [seed_of(_row(7), NIGHT, copy, 0) for copy in range(3)] == [7, 8, 9]
    assert seed_of(_row(7), Night("posters", "2026-12-01"), 0, 4) == 7


def test_a_rows_own_seed_begins_again_at_zero_after_the_largest() -> None:
    assert seed_of(_row(2**64 - 1), NIGHT, 1, 0) == 0


def test_a_row_without_a_seed_gets_the_derived_one() -> None:
    assert seed_of(_row(None), NIGHT, 2, 1) == derive_seed(NIGHT, "row-1", 2, 1)
    assert seed_of(_row(0), NIGHT, 0, 0) == 0
