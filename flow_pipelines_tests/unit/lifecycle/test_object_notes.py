"""What an object says of itself fits, is ASCII, and tells no secret."""

from __future__ import annotations

import re
from decimal import Decimal
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_pipelines.lifecycle.object_metadata import object_metadata
from flow_pipelines.model import CostBasis, Night
from flow_pipelines.model.output import NEVER
from flow_pipelines.redaction import Secret
from flow_pipelines_tests.unit.storage.samples import output, submission


def test_shares_are_those_of_the_manifest_and_add_up() -> None:
    run = submission(cost_usd=Decimal("0.01"), cost_basis=CostBasis.CHARGED)
    left_out = output(1, stored=None, settled_above=NEVER)
    outputs = [output(0), left_out, output(2), output(3, stored=None)]
    told = [object_metadata(run, one, outputs) for one in (outputs[0], outputs[2], outputs[3])]
    assert [one["cost-usd"] for one in told] == ["0.003334", "0.003333", "0.003333"]
    assert {one["cost-basis"] for one in told} == {"charged"}


def test_an_unknown_cost_is_unknown() -> None:
    told = object_metadata(submission(cost_basis=CostBasis.UNKNOWN), output(), [output()])
    assert (told["cost-basis"], told.get("cost-usd"), told["seed"]) == ("unknown", None, "7")


@pytest.mark.parametrize("prompt_id", ["naïve/100 %", "ключ\n=", "日本", "a%20b"])
def test_what_is_not_ascii_reads_back(prompt_id: str) -> None:
    told = object_metadata(submission(prompt_id=prompt_id), output(), [output()])
    assert told["prompt-id"].isascii()
    assert told["prompt-id"].isprintable()
    assert unquote(told["prompt-id"]) == prompt_id


@given(st.text(max_size=3000), st.text(max_size=3000), st.text(max_size=200))
def test_it_is_always_less_than_two_kilobytes_of_printable_ascii(
    prompt_id: str, partition: str, run_id: str
) -> None:
    run = submission(prompt_id=prompt_id, night=Night("posters", partition), provider_run_id=run_id)
    told = object_metadata(run, output(), [output()])
    whole = "".join(name + value for name, value in told.items())
    assert whole.isascii()
    assert all(" " < character < "\x7f" for character in whole)
    assert len(whole) + 64 + len("sha256") < 2000
    assert not [value for value in told.values() if re.search("%[0-9A-F]?$", value)]


def test_no_secret_is_told() -> None:
    key = Secret("flo_1234567890abcdef_secret")
    told = object_metadata(submission(prompt_id="see " + key.reveal()), output(), [output()])
    assert key.reveal() not in str(told)
