"""`flow-pipelines trace`, of what a night stored."""

from __future__ import annotations

import pytest

from flow_pipelines.model import SubmissionState
from flow_pipelines.storage.places import uri_of
from flow_pipelines_tests.unit.cli.conftest import NIGHT, Machine


@pytest.mark.case(
    "a table without a column called prompt: trace showed an empty prompt",
    "it shows the parameters that were sent",
)
def test_a_picture_of_a_table_without_prompts_is_traced_to_what_was_sent(machine: Machine) -> None:
    folder = machine.add_batch(parameters='{"text::text": "{words}", "draw::seed": "{seed}"}')
    (folder / "prompts.csv").write_text("prompt_id,words\na,boats at dawn\n", encoding="utf-8")
    machine.control.configure(median_seconds=0.01)
    machine.buy(1)
    (sent,) = machine.ledger.submissions(NIGHT, states={SubmissionState.SUBMITTED})
    machine.ledger.mark_due(sent.submission_key)
    assert machine.type("collect", NIGHT.batch).exit_code == 0
    machine.control.configure(median_seconds=3600.0)
    ((stored,),) = machine.ledger.outputs(NIGHT).values()
    assert stored.stored is not None

    said = machine.type("trace", uri_of(stored.stored) or "")

    assert said.exit_code == 0, said.output
    lines = {line[:18].strip(): line[19:] for line in said.output.splitlines()}
    assert "prompt" not in lines
    assert '"text::text": "boats at dawn"' in lines["parameters"]
    # Floyo tells neither start nor end.
    assert lines["run_ms"].startswith("at most ")
