"""docs/NIGHT_GONE_WRONG.md is true: its checks, states, settings, commands and texts exist."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from pathlib import Path

import click
import dagster as dg
import pytest

import flow_pipelines
from flow_pipelines.asset_checks import check_specs
from flow_pipelines.assets.last_night import LAST_NIGHT_EXISTS
from flow_pipelines.cli.main import main
from flow_pipelines.lifecycle import NightProgress
from flow_pipelines.model import Night, SubmissionState
from flow_pipelines_tests.syntax_trees import syntax_tree

CODE = Path(flow_pipelines.__file__).parent
PAGE = (CODE.parent / "docs" / "NIGHT_GONE_WRONG.md").read_text(encoding="utf-8")
TEXT = " ".join(re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL).split())
EXAMPLE = NightProgress(
    night=Night("city_posters", "2026-11-21"),
    generation=0,
    rows=12,
    succeeded=7,
    failed=1,
    canceled=0,
    skipped=0,
    unresolved=0,
    in_flight=4,
    planned=0,
    cost_usd=Decimal("0.16"),
    expected_end_at=datetime(2026, 11, 22, 2, 12, tzinfo=UTC),
)


def section(title: str) -> str:
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


def first_cells(title: str) -> list[str]:
    rows = [line for line in section(title).splitlines() if line.startswith("|")][2:]
    assert rows
    return [row.split("|")[1].strip() for row in rows]


def coded(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


@cache
def messages() -> tuple[str, ...]:
    """Every text of the code, with … where something is filled in."""
    return tuple(
        text
        for path in sorted(CODE.rglob("*.py"))
        for node in ast.walk(syntax_tree(path.read_text(encoding="utf-8")))
        for text in _text(node)
    )


def _text(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield " ".join(node.value.split())
    elif isinstance(node, ast.JoinedStr):
        parts = [str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values]
        yield " ".join("".join(parts).split())


def test_every_check_has_a_row_and_every_row_is_a_check() -> None:
    told = {coded(cell)[0] for cell in first_cells("A check failed")}
    specs = check_specs(dg.AssetKey(["city_posters", "images"]), None)
    assert told == {LAST_NIGHT_EXISTS, *(spec.name for spec in specs)}


def test_every_state_has_a_row_and_every_row_is_a_state() -> None:
    told = [state for cell in first_cells("States of a row") for state in coded(cell)]
    assert sorted(told) == sorted(SubmissionState)


def quoted() -> list[str]:
    tables = ("A tick says", "A run of `provider_runs` failed")
    return [text for title in tables for row in first_cells(title) for text in _quotes(row)]


def _quotes(cell: str) -> list[str]:
    return re.findall(r'"([^"]+)"', cell)


@pytest.mark.parametrize("text", quoted())
def test_a_quoted_text_is_one_that_the_code_says(text: str) -> None:
    assert text == EXAMPLE.in_words() or any(text in message for message in messages())


def test_the_texts_of_the_last_night_are_those_of_the_code() -> None:
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{LAST_NIGHT_EXISTS}`"))
    texts = _quotes(row)
    assert len(texts) == 3
    assert all(any(text in message for message in messages()) for text in texts)


def commands() -> list[str]:
    """Return what stands in a block of its own, and in backquotes."""
    lines = [line.strip() for line in PAGE.splitlines() if line.startswith("    flow-pipelines")]
    return lines + [code for code in coded(TEXT) if code.startswith("flow-pipelines ")]


@pytest.mark.parametrize("line", commands())
def test_a_command_can_be_given_as_it_is_written(line: str) -> None:
    command: click.Command = main
    words = shlex.split(line)[1:]
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    # A bare name points at a command; everything else has to be complete.
    with command.make_context(command.name, words, resilient_parsing=not words):
        pass


def test_settings_and_scopes_are_those_that_can_be_written() -> None:
    from flow_pipelines.assets.run_config import ProviderRunsConfig
    from flow_pipelines.component import PromptBatchComponent

    scopes = set(re.findall(r"regenerate: (\w+)", PAGE))
    assert scopes == {"failed", "changed"}
    assert all(ProviderRunsConfig(regenerate=scope).regenerate == scope for scope in scopes)
    settings = {"deadline_seconds", "budget_usd", "price_usd_per_run", "partitions_def"}
    assert settings <= set(coded(TEXT))
    assert settings <= set(PromptBatchComponent.model_fields)


def test_the_page_is_reached_from_the_readme() -> None:
    assert "docs/NIGHT_GONE_WRONG.md" in (CODE.parent / "README.md").read_text(encoding="utf-8")
