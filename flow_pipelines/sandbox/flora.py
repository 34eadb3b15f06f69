"""FLORA's API and its media host, after its OpenAPI document, SDK and developer.flora.ai.

What those leave open is decided here as follows. A run is created with 201 and replayed with 200.
An output of a run bears the id of the technique's output. A 429 says nothing of when to come back.
A link lasts. Of the three accounts of idempotency, `Tuning.flora_idempotency` says which is true.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from flow_pipelines.sandbox.bending import Report, fate, report
from flow_pipelines.sandbox.flora_keys import First, KeyMemory
from flow_pipelines.sandbox.flora_techniques import (
    TECHNIQUES,
    Problem,
    Technique,
    problems_of,
    technique_of,
)
from flow_pipelines.sandbox.life import Output, Run, RunOrder, RunState, new_id
from flow_pipelines.sandbox.limits import Standing
from flow_pipelines.sandbox.pictures import Picture
from flow_pipelines.sandbox.wire import Answer, Ask, Call, Refused, json_answer, json_object
from flow_pipelines.sandbox.world import World

API = "/flora/api/v1"
MEDIA = "/flora-media"
WORKSPACE = "ws_sandbox0001"
PROJECT = "prj_sandbox0001"
_WORDS = {
    RunState.QUEUED: "pending",
    RunState.RUNNING: "running",
    RunState.SUCCEEDED: "completed",
    RunState.FAILED: "failed",
}
_CODES = {
    400: "input_validation_error",
    401: "invalid_api_key",
    402: "insufficient_credits",
    403: "forbidden",
    404: "not_found",
    409: "conflict",
    429: "rate_limited",
    500: "unknown_error",
    503: "service_unavailable",
}
_LIMIT_DEFAULT, _LIMIT_MAX = 20, 100


class Flora:
    """The dialect of FLORA."""

    name = "flora"
    roots: tuple[str, ...] = (API, MEDIA)
    default_key = "sk_live_sandbox_key_0001"
    requests_per_minute = 60
    """FLORA publishes no number; this is the pace that a polite client keeps by itself."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._keys = KeyMemory()

    def calls(self) -> Sequence[Call]:
        """List the calls about workspaces, techniques and their runs; no call cancels a run."""
        technique = f"{API}/techniques/{{technique}}"
        get = {
            "list_workspaces": (f"{API}/workspaces", self._workspaces),
            "list_techniques": (f"{API}/techniques", self._list_techniques),
            "get_technique": (technique, self._get_technique),
            "get_technique_run": (f"{technique}/runs/{{run_id}}", self._get_run),
            "list_technique_runs": (f"{API}/technique-runs", self._list_runs),
        }
        return (
            Call(
                operation="create_technique_run",
                method="POST",
                path=f"{technique}/runs",
                handle=self._create,
            ),
            *(
                Call(operation=operation, method="GET", path=path, handle=handle)
                for operation, (path, handle) in get.items()
            ),
            Call(
                operation="open_output",
                method="GET",
                path=f"{MEDIA}/{{output_id}}.png",
                handle=self._open_output,
                authenticated=False,
                limited=False,
            ),
        )

    def account(self, ask: Ask, keys: Mapping[str, str]) -> str | None:
        """Know a key by the Authorization header."""
        return keys.get(ask.bearer)

    def refusal(self, status: int, message: str, standing: Standing | None = None) -> Answer:
        """Word an error as FLORA does."""
        del standing
        return _error(status, _CODES.get(status, "unknown_error"), message)

    def finish(self, ask: Ask, answer: Answer) -> Answer:
        """Name the answer, as FLORA names every one."""
        del ask
        return answer if "request-id" in answer.headers else _named(answer)

    def environment(self, base_url: str, key: str) -> Mapping[str, str]:
        """Name FLORA's variables; the only workspace need not be named."""
        return {"FLORA_API_KEY": key, "FLORA_BASE_URL": f"{base_url}{API}"}

    def reset(self) -> None:
        """Forget idempotency keys."""
        self._keys.reset()

    def _refuse(self, status: int, message: str) -> Refused:
        return Refused(self.refusal(status, message))

    # ---- workspaces and techniques ----------------------------------------------------------

    def _workspaces(self, ask: Ask) -> Answer:
        del ask
        own = {"workspace_id": WORKSPACE, "name": "Sandbox", "role": "owner", "created_at": None}
        return json_answer({"workspaces": [own]})

    def _list_techniques(self, ask: Ask) -> Answer:
        self._check_workspace(ask)
        query = ask.query.get("query", "").lower()
        found = [technique for technique in TECHNIQUES if query in technique["name"].lower()]
        names = [technique["technique_id"] for technique in found]
        start, end, cursor = self._page(ask, names)
        return json_answer({"techniques": found[start:end], "meta": {"next_cursor": cursor}})

    def _get_technique(self, ask: Ask) -> Answer:
        return json_answer(self._technique(ask))

    def _technique(self, ask: Ask) -> Technique:
        found = technique_of(ask.arguments["technique"])
        if found is None:
            raise self._refuse(404, "Technique not found.")
        return found

    def _check_workspace(self, ask: Ask) -> None:
        if ask.query.get("workspace_id", WORKSPACE) != WORKSPACE:
            raise self._refuse(403, "The key does not belong to this workspace.")

    def _page(self, ask: Ask, names: Sequence[str]) -> tuple[int, int, str | None]:
        """Cut a list; a cursor is the name of the last item of the page before."""
        limit, cursor = ask.query.get("limit", str(_LIMIT_DEFAULT)), ask.query.get("cursor")
        if not limit.isdecimal() or not 1 <= int(limit) <= _LIMIT_MAX:
            raise self._refuse(400, f"limit is 1 to {_LIMIT_MAX}")
        if cursor is not None and cursor not in names:
            raise self._refuse(400, "cursor is not one of ours")
        start = 0 if cursor is None else names.index(cursor) + 1
        end = start + int(limit)
        return start, end, names[end - 1] if end < len(names) else None

    # ---- runs -------------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Answer:
        technique, body = self._technique(ask), json_object(ask)
        if body is None:
            raise Refused(_error(400, "invalid_json", "The body is not a JSON object."))
        problems = problems_of(technique, body)
        if problems:
            raise Refused(_invalid(problems))
        in_body, in_header = body.get("idempotency_key", ""), ask.headers.get("idempotency-key", "")
        tuning = self._world.tuning
        account = tuning.flora_idempotency
        key = self._keys.place(account, in_body=in_body, in_header=in_header)
        fingerprint = _digest(technique["technique_id"], body)
        now, lag = self._world.now(), tuning.flora_idempotency_lag_seconds
        first = self._keys.first(account, ask.account, key, now, lag)
        if first is not None:
            return self._again(ask, first, fingerprint)
        run = self._accept(ask, technique, body, in_body or in_header)
        answer = _named(json_answer(self._run_object(run, ask), 201))
        known = First(run_id=run.id, fingerprint=fingerprint, answer=answer, at=now)
        self._keys.remember(ask.account, key, known)
        return answer

    def _again(self, ask: Ask, first: First, fingerprint: str) -> Answer:
        """Answer a request whose key is known."""
        account = self._world.tuning.flora_idempotency
        if account == "duplicate_409":
            return _error(409, "idempotency_duplicate", "This idempotency key was used before.")
        if account == "replay_stored":
            if fingerprint != first.fingerprint:
                return _error(422, "idempotency_conflict", "The key was used with another body.")
            return first.answer.with_headers(idempotent_replayed="true")
        run = self._world.life.get(self.name, ask.account, first.run_id)
        return json_answer(self._run_object(run, ask)) if run else first.answer

    def _accept(self, ask: Ask, technique: Technique, body: Mapping[str, Any], label: str) -> Run:
        end = fate(ask.fault)
        if end.unpaid:
            raise self._refuse(402, "The workspace has too few credits.")
        prompt = " · ".join(one["value"] for one in body["inputs"] if one["type"] == "text")
        seed = int(_digest(new_id("seed_")), 16) % 2**31
        outputs = {
            new_id("out_"): (port, Picture(prompt=prompt, seed=seed, variant=port["id"]))
            for port in technique["outputs"]
        }
        return self._world.life.create(
            RunOrder(
                provider=self.name,
                account=ask.account,
                label=label,
                request_hash=_digest(technique["technique_id"], body["inputs"]),
                outputs=tuple(
                    Output(id=name, file_name=f"{port['id']}.png", picture=picture)
                    for name, (port, picture) in outputs.items()
                ),
                price_usd=Decimal(str(technique["run_cost"])),
                fate=end,
                notes={
                    "technique": technique,
                    "ports": {name: port for name, (port, _) in outputs.items()},
                },
            )
        )

    def _get_run(self, ask: Ask) -> Answer:
        technique = self._technique(ask)
        run = self._world.life.get(self.name, ask.account, ask.arguments["run_id"])
        if run is None or run.order.notes["technique"] is not technique:
            raise self._refuse(404, "Run not found.")
        return json_answer(self._run_object(run, ask))

    def _list_runs(self, ask: Ask) -> Answer:
        self._check_workspace(ask)
        wanted = {name: ask.query.get(name) for name in ("technique_id", "project_id", "status")}
        every = [self._listed(run, ask) for run in self._world.life.runs(self.name, ask.account)]
        found = [
            one
            for one in every
            if all(value in (None, one.get(name)) for name, value in wanted.items())
        ]
        start, end, cursor = self._page(ask, [one["run_id"] for one in found])
        page = [
            {name: value for name, value in one.items() if name != "technique_id"}
            for one in found[start:end]
        ]
        return json_answer({"technique_runs": page, "meta": {"next_cursor": cursor}})

    def _listed(self, run: Run, ask: Ask) -> dict[str, Any]:
        technique = run.order.notes["technique"]
        return {
            **self._run_object(run, ask),
            "technique_run_id": run.id,
            "technique_id": technique["technique_id"],
            "technique": {name: technique[name] for name in ("technique_id", "slug", "name")},
            "project_id": PROJECT,
            "workspace_id": WORKSPACE,
        }

    def _run_object(self, run: Run, ask: Ask) -> dict[str, Any]:
        now = self._world.now()
        seen = report(run, now, ask.fault)
        slug = run.order.notes["technique"]["slug"]
        document: dict[str, Any] = {
            "run_id": run.id,
            "status": seen.word or _WORDS[seen.state],
            "progress": _progress(seen, now),
            "created_at": _ms(run.accepted_at),
            "poll_url": f"{ask.base_url}{API}/techniques/{slug}/runs/{run.id}",
        }
        if seen.state is not RunState.QUEUED:
            document["started_at"] = _ms(run.starts_at)
        if seen.state.ended:
            document["completed_at"] = _ms(run.ends_at)
        if seen.state is RunState.SUCCEEDED:
            document["charged_cost"] = float(run.order.price_usd)
            document["outputs"] = [_output(run, output, ask) for output in seen.outputs]
        if seen.error_code:
            document["error_code"] = seen.error_code
            document["error_message"] = f"The run failed: {seen.error_code}."
        return document

    def _open_output(self, ask: Ask) -> Answer:
        found = self._world.life.output(self.name, ask.arguments["output_id"])
        if found is None:
            raise self._refuse(404, "No such file.")
        return Answer(body=self._world.studio.png(found[1].picture), media_type="image/png")


def _output(run: Run, output: Output, ask: Ask) -> dict[str, str]:
    port = run.order.notes["ports"][output.id]
    link = f"{ask.base_url}{MEDIA}/{output.id}.png"
    text = f"What this shows: {output.picture.prompt}"
    url = text if port["type"] == "text" else link
    return {"output_id": port["id"], "type": port["type"], "url": url}


def _progress(seen: Report, now: float) -> int:
    if seen.state.ended:
        return 100
    run = seen.run
    if seen.state is RunState.QUEUED or run.takes_seconds == float("inf"):
        return 0
    return int(max(0.0, min(0.99, (now - run.starts_at) / run.takes_seconds)) * 100)


def _ms(at: float) -> int:
    return int(at * 1000)


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _error(status: int, code: str, message: str, **more: Any) -> Answer:
    return json_answer({"error": {"code": code, "message": message, **more}}, status)


def _invalid(problems: Sequence[Problem]) -> Answer:
    fields = [{"field": field, "message": message} for field, message in problems]
    return _error(400, "input_validation_error", "The request is not valid.", fields=fields)


def _named(answer: Answer) -> Answer:
    return replace(answer, headers={**answer.headers, "request-id": new_id("req_")})
