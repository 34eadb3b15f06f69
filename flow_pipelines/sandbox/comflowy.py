"""Comflowy's API, after comflowy.com/blog/comflowy-api, and links that open its pictures.

That page shows types and one example; what it leaves open is decided here as follows. A malformed
body is a 400; what Comflowy itself would not run, or does not know, is `success: false` under 200.
Errors are `{success, error}` under any status. A workflow is there under every id that does not
begin with `missing`. A run waits in the queue as `waiting`, and as `pending` in its last second
there. Links are signed anew at every check and live for an hour. Progress is told as it begins to
wait, is about to run, runs, and once in between, as a `message`.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from flow_pipelines.sandbox import comfy_graph
from flow_pipelines.sandbox.bending import Report, fate, report
from flow_pipelines.sandbox.comflowy_tokens import TokenDesk
from flow_pipelines.sandbox.courier import Letter
from flow_pipelines.sandbox.life import Output, Run, RunOrder, RunState, extra_outputs, new_id
from flow_pipelines.sandbox.limits import Standing
from flow_pipelines.sandbox.wire import Answer, Ask, Call, Refused, json_answer, json_object
from flow_pipelines.sandbox.world import World

API = "/comflowy/api/open/v0"
FILES = "/comflowy-files"
_TOKEN = f"{API}/auth/token"
_WORDS = {
    RunState.QUEUED: "waiting",
    RunState.RUNNING: "running",
    RunState.SUCCEEDED: "success",
    RunState.FAILED: "failed",
    RunState.CANCELED: "failed",
}
_PENDING_SECONDS = 1.0
_LINK_SECONDS = 3600
_EXTRA_NODE = "900"
_RESULT, _PROGRESS = "on_result_url", "on_progress_event_url"
_PREFIX = "filename_prefix"


class Comflowy:
    """The dialect of Comflowy."""

    name = "comflowy"
    roots: tuple[str, ...] = ("/comflowy", FILES)
    default_key = "comflowy_sandbox_key_0001"
    # Nothing is published; low enough for a client that is not paced to notice.
    requests_per_minute = 60

    def __init__(self, world: World) -> None:
        self._world = world
        self._tokens = TokenDesk()
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._numbers: Counter[tuple[str, str]] = Counter()

    def calls(self) -> Sequence[Call]:
        """List the three documented calls and the links; the page says POST for a check."""
        check = f"{API}/check"
        return (
            Call(
                operation="get_token",
                method="GET",
                path=_TOKEN,
                handle=self._give_token,
                limited=False,
            ),
            Call(operation="run", method="POST", path=f"{API}/run", handle=self._run),
            Call(operation="check", method="POST", path=check, handle=self._check),
            Call(operation="check", method="GET", path=check, handle=self._check),
            Call(
                operation="open_link",
                method="GET",
                path=f"{FILES}/{{output_id}}/{{file_name}}",
                handle=self._open_link,
                authenticated=False,
            ),
            Call(
                operation="open_link",
                method="GET",
                path=f"{FILES}/{{signed}}/{{output_id}}/{{file_name}}",
                handle=self._open_link,
                authenticated=False,
            ),
        )

    def account(self, ask: Ask, keys: Mapping[str, str]) -> str | None:
        """Know a key in the query of the token call, and elsewhere nothing but a token."""
        if ask.path == _TOKEN:
            return keys.get(ask.query.get("ppt", ""))
        return self._tokens.account(ask.bearer, self._world.now())

    def refusal(self, status: int, message: str, standing: Standing | None = None) -> Answer:
        """Word an error as Comflowy's own client expects it; no header says when to come back."""
        del standing
        return json_answer({"success": False, "error": message}, status)

    def finish(self, ask: Ask, answer: Answer) -> Answer:
        """Add nothing: Comflowy documents no headers."""
        del ask
        return answer

    def environment(self, base_url: str, key: str) -> Mapping[str, str]:
        """Name Comflowy's variables."""
        return {"COMFLOWY_API_KEY": key, "COMFLOWY_BASE_URL": f"{base_url}{API}"}

    def reset(self) -> None:
        """Number pictures anew; whoever has a token keeps it."""
        with self._lock:
            self._numbers.clear()

    def _give_token(self, ask: Ask) -> Answer:
        tuning = self._world.tuning
        ends_at = self._world.now() + tuning.comflowy_token_seconds
        token = self._tokens.give(ask.account, ends_at, jwt=tuning.comflowy_token_is_jwt)
        return json_answer({"access_token": token})

    # ---- runs -----------------------------------------------------------------------------

    def _run(self, ask: Ask) -> Answer:
        workflow_id, params, callbacks = self._order(ask)
        try:
            saves = comfy_graph.saves(comfy_graph.check(graph_of(params)))
        except comfy_graph.GraphRefused as problem:
            raise self._no(str(problem)) from problem
        pictures = tuple(self._output(save, ask.account) for save in saves)
        nodes = {output.id: save.node_id for output, save in zip(pictures, saves, strict=True)}
        extras = tuple(extra_outputs(self._world.tuning.extra_outputs))
        nodes |= {output.id: _EXTRA_NODE for output in extras}
        outputs = pictures + extras
        run = self._world.life.create(
            RunOrder(
                provider=self.name,
                account=ask.account,
                label="",  # a caller cannot name a run here
                request_hash=comfy_graph.request_hash([workflow_id, params]),
                outputs=outputs,
                id_prefix="",
                caches=True,
                fate=fate(ask.fault),
                notes={"nodes": nodes},
            )
        )
        self._call_back(run, callbacks, ask.base_url)
        return json_answer({"success": True, "data": {"run_id": run.id}})

    def _order(self, ask: Ask) -> tuple[str, dict[str, Any], dict[str, str]]:
        body = json_object(ask)
        if body is None:
            raise self._refuse(400, "the body is not a JSON object")
        workflow_id, params = body.get("workflow_id"), body.get("params")
        callbacks = body.get("callback_urls", {})
        if not isinstance(workflow_id, str) or not isinstance(params, dict):
            raise self._refuse(400, "workflow_id is a string and params an object")
        if not _are_urls(callbacks):
            raise self._refuse(400, "callback_urls holds on_result_url, on_progress_event_url")
        if not workflow_id or workflow_id.startswith("missing"):
            raise self._no(f"workflow {workflow_id} not found")
        return workflow_id, params, callbacks

    def _output(self, save: comfy_graph.Save, account: str) -> Output:
        with self._lock:
            self._numbers[account, save.prefix] += 1
            number = self._numbers[account, save.prefix]
        name = f"{PurePosixPath(save.prefix).name}_{number:05d}_.png"
        return Output(id=new_id(""), file_name=name, picture=save.picture)

    def _check(self, ask: Ask) -> Answer:
        run = self._world.life.get(self.name, ask.account, ask.query.get("id", ""))
        if run is None:
            raise self._no("run not found")
        seen = report(run, self._world.now(), ask.fault)
        data = {"status": self._status(seen), **self._result(seen, ask.base_url)}
        return json_answer({"success": True, "data": data})

    def _status(self, seen: Report) -> str:
        soon = seen.run.starts_at - self._world.now() <= _PENDING_SECONDS
        if seen.state is RunState.QUEUED and soon and seen.word is None:
            return "pending"
        return seen.word or _WORDS[seen.state]

    def _result(self, seen: Report, base_url: str) -> dict[str, Any]:
        """Return what a check and the callback of a result have in common."""
        links, nodes = list[str](), dict[str, dict[str, list[str]]]()
        for output in seen.outputs:
            links.append(self._link(output, base_url))
            node_id = seen.run.order.notes["nodes"][output.id]
            nodes.setdefault(node_id, {"images": []})["images"].append(links[-1])
        error = {"error": seen.error_code.replace("_", " ")} if seen.error_code else {}
        return {**error, "output_images": links, "full_outputs": nodes}

    def _call_back(self, run: Run, urls: Mapping[str, str], base_url: str) -> None:
        def result() -> tuple[bytes, Mapping[str, str]]:
            seen = report(run, self._world.now())
            told = {"type": _WORDS[seen.state], "run_id": run.id, **self._result(seen, base_url)}
            return _unsigned(told)

        if urls.get(_RESULT):
            self._world.call_back(run, urls[_RESULT], result)
        if urls.get(_PROGRESS):
            for word, due, payload in _progress_of(run):
                # Nothing says which run this is about.
                told = _unsigned({"type": word, "payload": payload})
                letter = Letter(url=urls[_PROGRESS], due=due, write=partial(_same, told))
                self._world.courier.take(letter)

    # ---- links ----------------------------------------------------------------------------

    def _link(self, output: Output, base_url: str) -> str:
        path = f"{FILES}/{output.id}/{output.file_name}"
        ends = str(int(self._world.now()) + _LINK_SECONDS)
        signature = self._signature(path, ends)
        if not self._world.tuning.comflowy_links_signed_in_path:
            return f"{base_url}{path}?Expires={ends}&Signature={signature}"
        signed = f"{new_id('')}.{ends}.{signature}"
        return f"{base_url}{FILES}/{signed}/{output.id}/{output.file_name}"

    def _signature(self, path: str, ends: str) -> str:
        return hmac.new(self._secret, f"{path} {ends}".encode(), hashlib.sha256).hexdigest()

    def _open_link(self, ask: Ask) -> Answer:
        ends, signature = ask.query.get("Expires", ""), ask.query.get("Signature", "")
        path = ask.path
        if "signed" in ask.arguments:
            _, ends, signature = [*ask.arguments["signed"].split("."), "", ""][:3]
            path = f"{FILES}/{ask.arguments['output_id']}/{ask.arguments['file_name']}"
        if not hmac.compare_digest(signature.encode(), self._signature(path, ends).encode()):
            raise self._refuse(403, "the link is not signed")
        if self._world.now() > int(ends):
            raise self._refuse(403, "the link has ended")
        found = self._world.life.output(self.name, ask.arguments["output_id"])
        if found is None:
            raise self._refuse(404, "there is no such picture")
        file = found[1].file
        body = self._world.studio.png(found[1].picture) if file is None else file.content
        return Answer(body=body, media_type=found[1].media_type)

    def _no(self, message: str) -> Refused:
        """Refuse as an answer that says so under 200."""
        return self._refuse(200, message)

    def _refuse(self, status: int, message: str) -> Refused:
        return Refused(self.refusal(status, message))


def graph_of(params: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Make a graph whose pictures show `params`: the saved workflow itself is nobody's to see.

    A node that is given a `filename_prefix` saves pictures; without any, one more node does.
    Raises: GraphRefused.
    """
    graph: dict[str, dict[str, Any]] = {}
    for name, value in params.items():
        node_id, _, field = name.rpartition("::")
        if not node_id or not field:
            raise comfy_graph.GraphRefused(f"there is no parameter {name}")
        node = graph.setdefault(node_id, {"class_type": "Node", "inputs": {}})
        node["inputs"].update({field: value} if not isinstance(value, list | dict) else {})
    plain = [node_id for node_id, node in graph.items() if _PREFIX not in node["inputs"]]
    if len(plain) == len(graph):
        graph["9" if "9" not in graph else "saves"] = {"class_type": "Node", "inputs": {}}
    for node_id, node in graph.items():
        if node_id not in plain:
            node["class_type"] = "SaveImage"
            node["inputs"].update({f"from {one}": [one, 0] for one in plain})
    return graph


def _are_urls(callbacks: object) -> bool:
    return isinstance(callbacks, dict) and all(
        name in (_RESULT, _PROGRESS) and isinstance(url, str) for name, url in callbacks.items()
    )


def _progress_of(run: Run) -> list[tuple[str, Callable[[], float], Any]]:
    """Return each event of a run: its type, when it is due, and what it tells."""
    events: list[tuple[str, Callable[[], float], Any]] = [
        ("waiting", lambda: run.accepted_at, {}),
        ("running", lambda: run.starts_at, {}),
        ("message", lambda: (run.starts_at + run.ends_at) / 2, {"progress": 0.5}),
    ]
    if run.starts_at - run.accepted_at > _PENDING_SECONDS:
        events.insert(1, ("pending", lambda: run.starts_at - _PENDING_SECONDS, {}))
    return events


def _same(letter: tuple[bytes, Mapping[str, str]]) -> tuple[bytes, Mapping[str, str]]:
    return letter


def _unsigned(document: Mapping[str, Any]) -> tuple[bytes, Mapping[str, str]]:
    return json.dumps(document).encode(), {"content-type": "application/json"}
