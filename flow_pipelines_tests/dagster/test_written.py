"""What is written in a defs.yaml reaches the batch, or is told with its place."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from dagster.components.core.component_tree import ComponentTreeException

from flow_pipelines import PromptBatchComponent
from flow_pipelines.model import TableFormat
from flow_pipelines.model.errors import InvalidBatch
from flow_pipelines_tests.dagster.conftest import BATCH, Project, causes


def test_a_table_in_long_form_and_what_may_be_empty_reach_the_batch(tmp_path: Path) -> None:
    written = """\
        name: harbor
        provider: floyo
        workflow: graph.json
        prompts: {path: "{partition_key}.csv", delimiter: ";", encoding: cp1252, comment: "#"}
        empty_cells: [negative_prompt]
        """
    settings = PromptBatchComponent.resolve_from_yaml(written).batch(tmp_path).settings
    assert settings.prompts == "{partition_key}.csv"
    told = TableFormat(delimiter=";", encoding="cp1252", comment="#")
    assert settings.table_format == told
    assert settings.empty_cells == ("negative_prompt",)
    for word, means in {"allow": None, "refuse": ()}.items():
        text = written.replace("[negative_prompt]", word)
        settings = PromptBatchComponent.resolve_from_yaml(text).batch(tmp_path).settings
        assert settings.empty_cells == means


WRONG = {
    "a name with a hyphen": ("name: harbor", "name: har-bor", r":3:3: 'har-bor' is no name"),
    "a provider's name": ("name: harbor", "name: floyo", r":3:3: 'floyo' is a provider's name"),
    "a shared asset's name": ("name: harbor", "name: cost_report", r"spans batches"),
    "an unknown provider": (
        "provider: floyo",
        "provider: floio",
        r":4:3: unknown provider 'floio'; known: .*floyo",
    ),
    "a missing workflow file": (
        "graph.json",
        "other.json",
        r":5:3: the workflow other\.json cannot be read: No such file",
    ),
    "a missing prompt table": ("prompts.csv", "other.csv", r":6:3: other\.csv does not exist"),
    "a prompt table of another kind": ("prompts.csv", "prompts.xls", r":6:3: 'prompts\.xls' is no"),
    "an unknown node": ('"text::text"', '"txt::text"', r":8:5: .*no node \"?'?txt"),
    "an unknown field": ('"text::text"', '"text::txet"', r":8:5: .*no field .*did you mean"),
    "nights that send the same": ("{seed}", "7", r":7:3: no parameter uses \{seed\}"),
    "a schedule without time partitions": (
        'partitions_def: {type: daily, start_date: "2026-11-01", timezone: UTC}',
        'schedule: "0 2 * * *"',
        r":10:3: a schedule needs time partitions",
    ),
    "a schedule that is no cron expression": (
        "price_usd_per_run: 0.02",
        "schedule: at two",
        r":11:3: 'at two' is no cron expression",
    ),
    "a negative budget": ("price_usd_per_run: 0.02", "budget_usd: -1", r":11:3: must be an amount"),
    "no copies": (
        "price_usd_per_run: 0.02",
        "runs_per_prompt: 0",
        r"runs_per_prompt.*defs.yaml:11",
    ),
    "an owner that is nobody's address": (
        "price_usd_per_run: 0.02",
        "owners: [ana]",
        r":11:3: 'ana' is neither an e-mail address nor team:name",
    ),
    "a separator of two characters": (
        "prompts: prompts.csv",
        'prompts: {path: prompts.csv, delimiter: "||"}',
        r":6:\d+: '\|\|' is not one character between cells",
    ),
    "an encoding that is none": (
        "prompts: prompts.csv",
        "prompts: {path: prompts.csv, encoding: cp9999}",
        r":6:\d+: 'cp9999' is no encoding such as cp1252",
    ),
    "a comment that is every line's": (
        "prompts: prompts.csv",
        'prompts: {path: prompts.csv, comment: ""}',
        r":6:\d+: every line begins so",
    ),
    "a missing prompt table in long form": (
        "prompts: prompts.csv",
        "prompts: {path: other.csv}",
        r"defs\.yaml:6:\d+: other\.csv does not exist",
    ),
    "braces that are no column": (
        "{prompt}",
        "{prompt:.10}",
        r":8:5: text::text has '\{prompt:\.10\}'.*write \{prompt\}",
    ),
    "a seed in doubled braces": (
        "{prompt}",
        "{prompt} {{ seed }}",
        r":8:5: text::text has 'seed' in doubled braces",
    ),
    "a field that does not exist": ("price_usd_per_run:", "price_usd_per_rum:", r"defs.yaml:11"),
}


@pytest.mark.parametrize(("before", "after", "message"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_with_its_place_before_anything_runs(
    project: Project, before: str, after: str, message: str
) -> None:
    assert before in BATCH
    project.add("harbor", BATCH.replace(before, after))
    with pytest.raises(ComponentTreeException) as caught, project.load():
        pass
    assert re.search(message, "\n".join(map(str, causes(caught.value))), re.DOTALL)


def test_every_problem_is_told_at_once(project: Project) -> None:
    project.add("harbor", BATCH.replace("harbor", "Har bor").replace("prompts.csv", "none.csv"))
    with pytest.raises(ComponentTreeException) as caught, project.load():
        pass
    [error] = [one for one in causes(caught.value) if isinstance(one, InvalidBatch)]
    assert len(error.problems) == 2
    assert all(Path(problem.file).name == "defs.yaml" for problem in error.problems)
