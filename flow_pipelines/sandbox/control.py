"""The control API under `/_sandbox`: for people and tests, never for the client under test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from flow_pipelines.sandbox.faults import Action, Fault
from flow_pipelines.sandbox.life import Run
from flow_pipelines.sandbox.wire import Dialect
from flow_pipelines.sandbox.world import World

PREFIX = "/_sandbox"
_PAGE = 1000

Reply = Callable[[dict[str, str], Any], Any]


class Control:
    """Reads and changes a world over HTTP."""

    def __init__(self, world: World, dialects: Sequence[Dialect]) -> None:
        self._world = world
        self._dialects = dialects

    def routes(self) -> list[Route]:
        """List the control routes."""
        return [
            _route("GET", "state", self._state),
            _route("GET", "requests", self._requests),
            _route("GET", "runs", self._runs),
            _route("GET", "deliveries", self._deliveries),
            _route("GET", "faults", self._list_faults),
            _route("POST", "faults", self._add_fault),
            _route("DELETE", "faults", self._clear_faults),
            _route("POST", "settings", self._configure),
            _route("POST", "reset", self._reset),
        ]

    def _state(self, query: dict[str, str], body: Any) -> Any:
        del query, body
        readings = self._world.readings([dialect.name for dialect in self._dialects])
        return {
            "now": self._world.now(),
            "settings": asdict(self._world.tuning),
            "providers": {name: asdict(reading) for name, reading in readings.items()},
        }

    def _requests(self, query: dict[str, str], body: Any) -> Any:
        del body
        after, limit = int(query.get("after", 0)), min(int(query.get("limit", _PAGE)), _PAGE)
        found = self._world.meter.requests(after, limit)
        return {"requests": [asdict(record) for record in found]}

    def _runs(self, query: dict[str, str], body: Any) -> Any:
        del body
        now, limit = self._world.now(), min(int(query.get("limit", _PAGE)), _PAGE)
        offset = int(query.get("offset", 0))
        found = self._world.life.runs(query.get("provider"))
        page = found[offset : offset + limit]
        return {"total": len(found), "runs": [_run(run, now) for run in page]}

    def _deliveries(self, query: dict[str, str], body: Any) -> Any:
        del query, body
        return {"deliveries": [asdict(one) for one in self._world.courier.deliveries()]}

    def _list_faults(self, query: dict[str, str], body: Any) -> Any:
        del query, body
        return {"faults": [asdict(fault) for fault in self._world.faults.rules()]}

    def _add_fault(self, query: dict[str, str], body: Any) -> Any:
        del query
        if not isinstance(body, dict):
            raise TypeError("expected a JSON object with provider, operation and action")
        self._world.faults.add(Fault(**{**body, "action": Action(body.get("action", ""))}))
        return {"faults": len(self._world.faults.rules())}

    def _clear_faults(self, query: dict[str, str], body: Any) -> Any:
        del query, body
        self._world.faults.clear()
        return {"faults": 0}

    def _configure(self, query: dict[str, str], body: Any) -> Any:
        del query
        return {"settings": asdict(self._world.configure(**(body or {})))}

    def _reset(self, query: dict[str, str], body: Any) -> Any:
        del query, body
        self._world.reset()
        for dialect in self._dialects:
            dialect.reset()
        return {"reset": True}


def _run(run: Run, now: float) -> dict[str, Any]:
    return {
        "id": run.id,
        "provider": run.order.provider,
        "account": run.order.account,
        "label": run.order.label,
        "prompt": run.order.outputs[0].picture.prompt if run.order.outputs else "",
        "request_hash": run.order.request_hash,
        "state": run.state(now),
        "cached": run.cached,
        "error_code": run.error_code,
        "flotime_ms": run.flotime_ms(now),
        "accepted_at": run.accepted_at,
        "outputs": [output.file_name for output in run.outputs],
    }


def _route(method: str, name: str, reply: Reply) -> Route:
    async def endpoint(request: Request) -> JSONResponse:
        try:
            body = await request.json() if await request.body() else None
            answer = await run_in_threadpool(reply, dict(request.query_params), body)
        except (ValueError, TypeError) as problem:
            return JSONResponse({"error": str(problem)}, status_code=400)
        return JSONResponse(answer)

    return Route(f"{PREFIX}/{name}", endpoint, methods=[method])
