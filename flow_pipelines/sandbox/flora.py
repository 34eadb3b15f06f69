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
from flow_pipelines.sandbox.flora_assets import Assets
from flow_pipelines.sandbox.flora_callbacks import call_back
from flow_pipelines.sandbox.flora_catalog import PROJECT, Catalog
from flow_pipelines.sandbox.flora_keys import First, KeyMemory
from flow_pipelines.sandbox.flora_techniques import (
    TECHNIQUES,
    Technique,
    media_of,
    problems_of,
    technique_of,
)
from flow_pipelines.sandbox.flora_words import (
    API,
    MEDIA,
    UPLOADS,
    WORKSPACE,
    body_of,
    check_workspace,
    error,
    invalid,
    ms,
    named,
    page,
    refused,
)
from flow_pipelines.sandbox.life import Output, Run, RunOrder, RunState, new_id
from flow_pipelines.sandbox.limits import Standing
from flow_pipelines.sandbox.pictures import Picture
from flow_pipelines.sandbox.wire import Answer, Ask, Call, json_answer
from flow_pipelines.sandbox.world import World

_WORDS = {
    RunState.QUEUED: "pending",
    RunState.RUNNING: "running",
    RunState.SUCCEEDED: "completed",
    RunState.FAILED: "failed",
}


class Flora:
    """The dialect of FLORA."""

    name = "flora"
    roots: tuple[str, ...] = (API, MEDIA, UPLOADS)
    default_key = "sk_live_sandbox_key_0001"
    requests_per_minute = 60
    """FLORA publishes no number; this is the pace that a polite client keeps by itself."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._keys = KeyMemory()
        self._catalog = Catalog(world)
        self._assets = Assets(world, self._catalog.has_project)

    def calls(self) -> Sequence[Call]:
        """List every call; none cancels a run."""
        technique = f"{API}/techniques/{{technique}}"
        get = {
            "list_techniques": (f"{API}/techniques", self._list_techniques),
            "retrieve_technique": (technique, self._get_technique),
            "retrieve_technique_run": (f"{technique}/runs/{{run_id}}", self._get_run),
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
                operation="download_output",
                method="GET",
                path=f"{MEDIA}/{{output_id}}.png",
                handle=self._open_output,
                authenticated=False,
                limited=False,
            ),
            *self._catalog.calls(),
            *self._assets.calls(),
        )

    def account(self, ask: Ask, keys: Mapping[str, str]) -> str | None:
        """Know a key by the Authorization header."""
        return keys.get(ask.bearer)

    def refusal(self, status: int, message: str, standing: Standing | None = None) -> Answer:
        """Word an error as FLORA does."""
        del standing
        return error(status, message)

    def finish(self, ask: Ask, answer: Answer) -> Answer:
        """Name the answer, as FLORA names every one."""
        del ask
        return answer if "request-id" in answer.headers else named(answer)

    def environment(self, base_url: str, key: str) -> Mapping[str, str]:
        """Name FLORA's variables; the only workspace need not be named."""
        return {
            "FLORA_API_KEY": key,
            "FLORA_BASE_URL": f"{base_url}{API}",
            "FLORA_WEBHOOK_SECRET": self._world.tuning.flora_webhook_secrets[0],
        }

    def reset(self) -> None:
        """Forget idempotency keys, projects and assets."""
        self._keys.reset()
        self._catalog.reset()
        self._assets.reset()

    # ---- techniques -------------------------------------------------------------------------

    def _list_techniques(self, ask: Ask) -> Answer:
        check_workspace(ask.query.get("workspace_id", WORKSPACE))
        query = ask.query.get("query", "").lower()
        found = [technique for technique in TECHNIQUES if query in technique["name"].lower()]
        cut, meta = page(ask, [technique["technique_id"] for technique in found])
        return json_answer({"techniques": found[cut], "meta": meta})

    def _get_technique(self, ask: Ask) -> Answer:
        return json_answer(self._technique(ask))

    def _technique(self, ask: Ask) -> Technique:
        found = technique_of(ask.arguments["technique"])
        if found is None:
            raise refused(404, "Technique not found.")
        return found

    # ---- runs -------------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Answer:
        technique, body = self._technique(ask), body_of(ask)
        problems = problems_of(technique, body, f"{ask.base_url}{MEDIA}/")
        if problems:
            raise invalid(problems)
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
        if "callback_url" in body:
            call_back(self._world, run, body["callback_url"])
        answer = named(json_answer(self._run_object(run, ask), 201))
        known = First(run_id=run.id, fingerprint=fingerprint, answer=answer, at=now)
        self._keys.remember(ask.account, key, known)
        return answer

    def _again(self, ask: Ask, first: First, fingerprint: str) -> Answer:
        """Answer a request whose key is known."""
        account = self._world.tuning.flora_idempotency
        if account == "duplicate_409":
            return error(409, "This key was used before.", "idempotency_duplicate")
        if account == "replay_stored":
            if fingerprint != first.fingerprint:
                return error(422, "The key was used with another body.", "idempotency_conflict")
            return first.answer.with_headers(idempotent_replayed="true")
        run = self._world.life.get(self.name, ask.account, first.run_id)
        return json_answer(self._run_object(run, ask)) if run else first.answer

    def _accept(self, ask: Ask, technique: Technique, body: Mapping[str, Any], label: str) -> Run:
        end = fate(ask.fault)
        if not self._reaches(media_of(body["inputs"]), ask):
            end = replace(end, error_code="input_unreachable")
        if end.unpaid:
            raise refused(402, "The workspace has too few credits.")
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

    def _reaches(self, media: Sequence[str], ask: Ask) -> bool:
        """Return whether every asset of ours among these is there; others are taken for granted."""
        own = f"{ask.base_url}{MEDIA}/assets/"
        names = [url.removeprefix(own) for url in media if url.startswith(own)]
        return all(self._assets.is_ready(name) for name in names)

    def _get_run(self, ask: Ask) -> Answer:
        technique = self._technique(ask)
        run = self._world.life.get(self.name, ask.account, ask.arguments["run_id"])
        if run is None or run.order.notes["technique"] is not technique:
            raise refused(404, "Run not found.")
        return json_answer(self._run_object(run, ask))

    def _list_runs(self, ask: Ask) -> Answer:
        check_workspace(ask.query.get("workspace_id", WORKSPACE))
        wanted = {name: ask.query.get(name) for name in ("technique_id", "project_id", "status")}
        every = [self._listed(run, ask) for run in self._world.life.runs(self.name, ask.account)]
        found = [
            one
            for one in every
            if all(value in (None, one.get(name)) for name, value in wanted.items())
        ]
        cut, meta = page(ask, [one["run_id"] for one in found])
        listed = [
            {name: value for name, value in one.items() if name != "technique_id"}
            for one in found[cut]
        ]
        return json_answer({"technique_runs": listed, "meta": meta})

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
            "created_at": ms(run.accepted_at),
            "poll_url": f"{ask.base_url}{API}/techniques/{slug}/runs/{run.id}",
        }
        if seen.state is not RunState.QUEUED:
            document["started_at"] = ms(run.starts_at)
        if seen.state.ended:
            document["completed_at"] = ms(run.ends_at)
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
            raise refused(404, "No such file.")
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


def _digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
