"""All stand-ins and the control API as one ASGI application."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from flow_pipelines.sandbox.control import Control
from flow_pipelines.sandbox.dialects import DIALECTS
from flow_pipelines.sandbox.gate import Gate
from flow_pipelines.sandbox.wire import Answer, Ask, Call, Dialect
from flow_pipelines.sandbox.world import World


def make_dialects(world: World) -> list[Dialect]:
    """Make every registered dialect, over one world."""
    return [make(world) for make in DIALECTS]


def make_app(world: World, dialects: Sequence[Dialect]) -> Starlette:
    """Route every call of every dialect through its gate."""
    routes: list[BaseRoute] = list(Control(world, dialects).routes())
    for dialect in dialects:
        routes += [
            Route(
                call.path,
                Gate(world, dialect, call),
                methods=[call.method] if call.method else None,
            )
            for call in (*dialect.calls(), *_others(dialect))
        ]
    return Starlette(routes=routes)


def _others(dialect: Dialect) -> list[Call]:
    """Catch what a client sends to a provider that documents no such call."""

    def unknown(ask: Ask) -> Answer:
        return dialect.refusal(404, f"no such route: {ask.method} {ask.path}")

    return [
        Call(
            operation="unknown",
            method="",
            path=f"{root}/{{rest:path}}",
            handle=unknown,
            authenticated=False,
        )
        for root in dialect.roots
    ]
