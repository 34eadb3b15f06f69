"""Commands find the sides of a comparison as the batches that they are."""

from __future__ import annotations

import json

from flow_pipelines.model import Night
from flow_pipelines.model import SubmissionState as S
from flow_pipelines_tests.unit.cli.conftest import GRAPH, Machine

COMPARISON = """\
type: flow_pipelines.PromptComparisonComponent
attributes:
  name: best
  prompts: prompts.csv
  partitions_def: {type: daily, start_date: "2025-11-01", timezone: UTC}
  budget_usd: 0.05
  sides:
    - provider: floyo
      workflow: graph.json
      parameters: {"text::text": "{prompt}", "draw::seed": "{seed}"}
      price_usd_per_run: 0.02
    - provider: floyo
      name: studio
      resource: floyo_studio
      workflow: graph.json
      parameters: {"text::text": "{prompt}, in a studio", "draw::seed": "{seed}"}
      price_usd_per_run: 0.01
      budget_usd: 9
"""
NIGHT = Night("best_floyo", "2025-11-21")
PARTITION = ("--partition", NIGHT.partition_key)


def add_comparison(machine: Machine) -> None:
    folder = machine.folder / machine.module / "defs" / "best"
    folder.mkdir(parents=True)
    (folder / "defs.yaml").write_text(COMPARISON, encoding="utf-8")
    (folder / "graph.json").write_text(json.dumps(GRAPH), encoding="utf-8")
    (folder / "prompts.csv").write_text(
        "prompt_id,prompt\na,boats\nb,cranes\nc,fog\n", encoding="utf-8"
    )


def test_every_side_is_estimated_by_itself(machine: Machine) -> None:
    add_comparison(machine)

    def estimate(batch: str) -> dict[str, object]:
        said = machine.type("estimate", batch, *PARTITION, "-m", machine.definitions, "--json")
        assert said.exit_code == 0, said.output
        return dict(json.loads(said.stdout))

    floyo, studio = estimate("best_floyo"), estimate("best_studio")

    assert (floyo["submissions"], floyo["within_budget"], floyo["usd"]) == (3, 2, "0.04")
    assert (studio["submissions"], studio["within_budget"], studio["usd"]) == (3, 3, "0.03")


def test_a_name_that_is_none_is_answered_with_the_sides(machine: Machine) -> None:
    add_comparison(machine)

    said = machine.type("estimate", "best", *PARTITION, "-m", machine.definitions)

    assert said.exit_code != 0
    assert "known: best_floyo, best_studio" in said.output


def test_a_side_is_listed_and_canceled_like_any_batch(machine: Machine) -> None:
    add_comparison(machine)
    machine.buy(limit=2, night=NIGHT)

    listed = machine.type("runs", "--batch", NIGHT.batch, "--json")
    canceled = machine.type("cancel", "--batch", NIGHT.batch, *PARTITION, "--yes")

    assert listed.exit_code == 0, listed.output
    assert NIGHT.batch in listed.stdout
    assert canceled.exit_code == 0, canceled.output
    assert machine.states(NIGHT) == [S.CANCELED] * 3
