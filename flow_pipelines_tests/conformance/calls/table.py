"""Every documented call beside what speaks it here: the client, the stand-in and a test."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from flow_pipelines.provider import DocumentedCall
from flow_pipelines.providers import profile, provider_names
from flow_pipelines.sandbox.dialects import DIALECTS
from flow_pipelines.sandbox.settings import SandboxSettings
from flow_pipelines.sandbox.wire import Call
from flow_pipelines.sandbox.world import World
from flow_pipelines_tests.syntax_trees import syntax_tree

HERE = Path(__file__).parent


@dataclass(frozen=True, kw_only=True)
class Row:
    """A documented call; a cell is empty where nothing speaks it."""

    provider: str
    documented: DocumentedCall
    method: str
    """Of the client."""
    route: str
    """Of the sandbox."""
    tests: Sequence[str]
    """Names of conformance tests."""


def rows() -> Iterator[Row]:
    """Return a row a documented call, provider by provider."""
    tests = marked_tests()
    for name in provider_names():
        found, routes = profile(name), _routes(name)
        client = client_class(name)
        for call in found.calls:
            has_method = callable(getattr(client, call.operation, None))
            yield Row(
                provider=name,
                documented=call,
                method=f"{client.__name__}.{call.operation}" if has_method else "",
                route=routes.get(call.operation, ""),
                tests=tests.get((name, call.operation), ()),
            )


def client_class(name: str) -> type:
    """Return the class of a provider's typed client."""
    connected = profile(name).connect(_Nobody(), **profile(name).urls)
    client: type = type(connected.client)  # type: ignore[attr-defined]  # every one of ours has it
    return client


def sandbox_calls(name: str) -> Sequence[Call]:
    """Return what a provider's stand-in answers to."""
    world = World(SandboxSettings())
    made = [dialect for make in DIALECTS for dialect in [make(world)] if dialect.name == name]
    return made[0].calls()


def _routes(name: str) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for call in sandbox_calls(name):
        found.setdefault(call.operation, f"{call.method} {call.path}")
    return found


class _Nobody:
    """A transport that nothing is sent through."""


@cache
def marked_tests() -> Mapping[tuple[str, str], Sequence[str]]:
    """Read which test shows which call from the tests' `call` marks."""
    found: dict[tuple[str, str], list[str]] = {}
    for path in sorted(HERE.rglob("test_*.py")):
        for node in syntax_tree(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef):
                for mark in _marks(node):
                    found.setdefault(mark, []).append(f"{path.name}::{node.name}")
    return found


def _marks(node: ast.FunctionDef) -> Iterator[tuple[str, str]]:
    for mark in node.decorator_list:
        if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.call":
            provider, operation = (ast.literal_eval(argument) for argument in mark.args)
            yield provider, operation
