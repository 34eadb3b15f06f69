"""A bad row costs nothing: every fault of every row in one message, before anything is sent."""

from __future__ import annotations

import pytest

from flow_pipelines.model.errors import ConfigurationError, InvalidBatch
from flow_pipelines_tests.unit.lifecycle.conftest import LifecycleHarness

ROWS = 1000


def write(harness: LifecycleHarness, seeds: list[str], pictures: list[str]) -> None:
    rows = [f"p{n},boats,{seeds[n]},{pictures[n]}" for n in range(ROWS)]
    text = "\n".join(["prompt_id,prompt,seed,picture", *rows]) + "\n"
    (harness.folder / "prompts.csv").write_text(text)


def test_a_thousand_rows_with_three_faults_give_one_error_that_names_all_three(
    harness: LifecycleHarness,
) -> None:
    harness.with_settings(
        parameters={**harness.settings.parameters, "10::image": {"file": "{picture}"}},
    )
    (harness.folder / "page.png").write_bytes(b"<html>")
    seeds = ["-1" if n == 700 else "7" for n in range(ROWS)]
    pictures = ["page.png" if n == 999 else "gone.png" for n in range(ROWS)]
    write(harness, seeds, pictures)

    with pytest.raises(InvalidBatch) as raised:
        harness.plan()

    text = str(raised.value)
    assert "prompts.csv:702" in text
    assert "integer from 0 to 2^64" in text
    assert "No such file" in text
    assert "no picture" in text
    assert "more like that" in text
    assert len(text.splitlines()) < 50
    assert harness.ledger.submissions(harness.night) == []
    with pytest.raises(ConfigurationError, match="nothing was planned"):
        harness.submit()
    assert harness.provider.posts == []
