"""Floyo's API and its CDN, after docs.floyo.ai (workflow-runs, files)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http.client import responses
from typing import Any
from urllib.parse import quote

from flow_pipelines.sandbox import comfy_graph
from flow_pipelines.sandbox.bending import Report, fate, report
from flow_pipelines.sandbox.floyo_files import FileShelf, Stored, stored_output
from flow_pipelines.sandbox.life import Output, Run, RunOrder, RunState, extra_outputs, new_id
from flow_pipelines.sandbox.limits import Standing
from flow_pipelines.sandbox.wire import (
    Answer,
    Ask,
    Call,
    Refused,
    Upload,
    bounded,
    json_answer,
    json_object,
)
from flow_pipelines.sandbox.world import World

API = "/floyo"
CDN = "/floyo-cdn"
_WORDS = {
    RunState.QUEUED: "queued",
    RunState.RUNNING: "processing",
    RunState.SUCCEEDED: "done",
    RunState.FAILED: "failed",
    RunState.CANCELED: "cancelled",
}
# Ends that Floyo names by a status of their own; every other failure is `failed`.
_OWN_STATUSES = ("insufficient_balance", "insufficient_api_credits")
_RUN_EXPAND = "outputs.presigned_url"
_FILE_EXPAND = "presigned_url"
_EXPIRES_DEFAULT, _EXPIRES_MIN, _EXPIRES_MAX = 300, 30, 604_800
_LIST_DEFAULT, _LIST_MAX = 20, 100


class Floyo:
    """The dialect of Floyo."""

    name = "floyo"
    roots: tuple[str, ...] = (API, CDN)
    default_key = "flo_sandbox_key_0001"
    requests_per_minute = 100

    def __init__(self, world: World) -> None:
        self._world = world
        self._files = FileShelf(world)

    def calls(self) -> Sequence[Call]:
        """List the calls of API and CDN; the rate limit is the API's alone."""
        run, file = f"{API}/runs/{{run_id}}", f"{API}/files/{{file_id}}"
        cdn = f"{CDN}/{{file_id}}"
        return (
            Call(operation="create_run", method="POST", path=f"{API}/runs", handle=self._create),
            Call(operation="search_runs", method="GET", path=f"{API}/runs", handle=self._list),
            Call(operation="retrieve_run", method="GET", path=run, handle=self._get),
            Call(operation="cancel_run", method="POST", path=f"{run}/cancel", handle=self._cancel),
            Call(operation="retrieve_file", method="GET", path=file, handle=self._get_file),
            Call(
                operation="upload_file",
                method="POST",
                path=f"{CDN}/upload",
                handle=self._upload,
                limited=False,
            ),
            Call(
                operation="download_file",
                method="GET",
                path=f"{cdn}/download",
                handle=self._download,
                limited=False,
            ),
            Call(
                operation="open_presigned_url",
                method="GET",
                path=cdn,
                handle=self._open_presigned_url,
                authenticated=False,
                limited=False,
            ),
        )

    def account(self, ask: Ask, keys: Mapping[str, str]) -> str | None:
        """Know a key by the Authorization header."""
        return keys.get(ask.bearer)

    def refusal(self, status: int, message: str, standing: Standing | None = None) -> Answer:
        """Word an error as Floyo does: flat, with no header that says when to come back."""
        del standing
        title = responses.get(status, "unknown error").lower()
        return json_answer({"error": title, "message": message}, status)

    def finish(self, ask: Ask, answer: Answer) -> Answer:
        """Add nothing: Floyo documents no common headers."""
        del ask
        return answer

    def environment(self, base_url: str, key: str) -> Mapping[str, str]:
        """Name Floyo's variables."""
        return {
            "FLOYO_API_KEY": key,
            "FLOYO_BASE_URL": f"{base_url}{API}",
            "FLOYO_CDN_URL": f"{base_url}{CDN}",
        }

    def reset(self) -> None:
        """Forget uploads and output files."""
        self._files.reset()

    def _refuse(self, status: int, message: str) -> Refused:
        return Refused(self.refusal(status, message))

    # ---- runs -----------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Answer:
        body = json_object(ask)
        name = body.get("name") if body is not None else None
        if body is None or not (name is None or isinstance(name, str)):
            raise self._refuse(400, "expected a JSON object with workflow and, optionally, name")
        try:
            graph = comfy_graph.check(body.get("workflow"))
        except comfy_graph.GraphRefused as problem:
            raise self._refuse(400, str(problem)) from problem
        known = self._world.tuning.checkpoints
        refused = None if known is None else comfy_graph.missing_checkpoints(graph, known)
        if refused is not None:
            raise Refused(json_answer(refused, 400))
        now = datetime.fromtimestamp(self._world.now(), UTC)
        run = self._world.life.create(
            RunOrder(
                provider=self.name,
                account=ask.account,
                label=name or "",
                request_hash=comfy_graph.request_hash(graph),
                outputs=tuple(self._outputs(graph, ask.account)),
                caches=True,
                fate=fate(ask.fault),
                notes={"name": name or f"API Run {now:%Y-%m-%d %H:%M:%S}"},
            )
        )
        return json_answer({"id": run.id, "object": "run", "name": run.order.notes["name"]})

    def _outputs(self, graph: comfy_graph.Graph, account: str) -> list[Output]:
        pictures = [
            Output(
                id=new_id("file_"),
                file_name=self._files.next_name(account, save.prefix),
                picture=save.picture,
            )
            for save in comfy_graph.saves(graph)
        ]
        return [*pictures, *extra_outputs(self._world.tuning.extra_outputs)]

    def _run(self, ask: Ask) -> Run:
        run = self._world.life.get(self.name, ask.account, ask.arguments["run_id"])
        if run is None:
            raise Refused(json_answer({"error": "run not found"}, 404))
        return run

    def _get(self, ask: Ask) -> Answer:
        expires = self._expires(ask, _RUN_EXPAND)
        return json_answer(self._run_object(self._run(ask), ask, expires))

    def _list(self, ask: Ask) -> Answer:
        if not self._world.tuning.undocumented_run_list:
            raise self._refuse(404, "no such route")
        expires = self._expires(ask, _RUN_EXPAND)
        search = ask.query.get("search", "")
        limit = bounded(ask.query.get("limit"), _LIST_DEFAULT, _LIST_MAX)
        found = [
            run
            for run in self._world.life.runs(self.name, ask.account)
            if search in run.order.notes["name"]
        ]
        return json_answer({"data": [self._run_object(run, ask, expires) for run in found[:limit]]})

    def _run_object(self, run: Run, ask: Ask, expires: int | None) -> dict[str, Any]:
        seen = report(run, self._world.now(), ask.fault)
        document: dict[str, Any] = {
            "id": run.id,
            "object": "run",
            "name": run.order.notes["name"],
            "requested_at": _timestamp(run.accepted_at, "milliseconds"),
            "status": _status(seen),
        }
        if not seen.state.ended:
            return document
        document["flotime_ms"] = seen.flotime_ms
        document["outputs"] = [
            self._files.describe(stored_output(run, output), ask, expires)
            for output in seen.outputs
        ]
        if seen.error_code:
            document["errors"] = [{"error": seen.error_code, "message": "the run failed"}]
        return document

    def _cancel(self, ask: Ask) -> Answer:
        run = self._run(ask)
        if self._world.life.cancel(run):
            return json_answer({"id": run.id, "object": "run", "message": "run cancelled"})
        status = _status(report(run, self._world.now(), ask.fault))
        return json_answer(
            {
                "id": run.id,
                "status": status,
                "object": "run",
                "error": "run is already finished",
                "message": f"run is {status} and cannot be cancelled",
            },
            409,
        )

    # ---- files ----------------------------------------------------------------------------

    def _file(self, ask: Ask) -> Stored:
        stored = self._files.find(ask.arguments["file_id"])
        if stored is None or ask.account not in ("", stored.account):
            raise Refused(json_answer({"error": "file not found"}, 404))
        return stored

    def _get_file(self, ask: Ask) -> Answer:
        expires = self._expires(ask, _FILE_EXPAND)
        described = self._files.describe(self._file(ask), ask, expires)
        return json_answer({"object": "file", **described})

    def _download(self, ask: Ask) -> Answer:
        return self._bytes(self._file(ask))

    def _open_presigned_url(self, ask: Ask) -> Answer:
        problem = self._files.token_problem(ask)
        if problem:
            raise self._refuse(401, problem)
        return self._bytes(self._file(ask))

    def _bytes(self, stored: Stored) -> Answer:
        answer = Answer(body=self._files.content(stored), media_type=stored.media_type)
        return answer.with_headers(content_disposition=_disposition(stored))

    def _upload(self, ask: Ask) -> Answer:
        file = ask.form.get("file")
        if not isinstance(file, Upload):
            raise self._refuse(400, "the form field file is missing")
        name, folder = ask.form.get("filename") or file.file_name, ask.form.get("path") or ""
        policy = ask.form.get("on_conflict") or "fail"
        if policy not in ("fail", "rename"):
            raise self._refuse(400, "on_conflict is rename or fail")
        free = self._files.free_name(ask.account, str(folder), str(name))
        if free != name and policy == "fail":
            taken = f"{name} exists already"
            conflict = {"error": "Upload Failed", "message": taken, "suggestion": free}
            raise Refused(json_answer(conflict, 409))
        stored = self._files.keep_upload(ask.account, str(folder), free, file)
        return json_answer({"object": "file", **self._files.describe(stored, ask, None)})

    def _expires(self, ask: Ask, expandable: str) -> int | None:
        """Read the two query parameters about links; None: no link was asked for."""
        expand, given = ask.query.get("expand"), ask.query.get("presigned_url_expires_in")
        if expand not in (None, expandable):
            raise self._refuse(400, f"expand can be {expandable}")
        if expand is None:
            if given is not None:
                raise self._refuse(400, f"presigned_url_expires_in needs expand={expandable}")
            return None
        if given is None:
            return _EXPIRES_DEFAULT
        if not given.isdecimal() or not _EXPIRES_MIN <= int(given) <= _EXPIRES_MAX:
            message = f"presigned_url_expires_in is {_EXPIRES_MIN} to {_EXPIRES_MAX} seconds"
            raise self._refuse(400, message)
        return int(given)


def _status(seen: Report) -> str:
    if seen.word is not None:
        return seen.word
    if seen.error_code in _OWN_STATUSES:
        return str(seen.error_code)
    return _WORDS[seen.state]


def _disposition(stored: Stored) -> str:
    """Name a file in one of the two forms that Floyo's demo reads: outputs by the longer one."""
    name, plain = stored.file_name, re.fullmatch(r"[A-Za-z0-9 ._()-]+", stored.file_name)
    if stored.picture is None and plain:
        return f'attachment; filename="{name}"'
    return f"attachment; filename*=UTF-8''{quote(name)}"


def _timestamp(at: float, precision: str) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=precision)
