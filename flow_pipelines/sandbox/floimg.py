"""FloImg's API and its storage, after the pages under `docs/api` of FlojoInc/floimg-web.

What those pages leave open is decided here as follows. A failed execution is told by HTTP 500
where its code is `workflow_failed` (fault `run_fails` with that `error`), and by the status
`failed` under any other. An asynchronous execute answers 202. A page that is too long is cut. A
parameter that the workflow does not declare is an `invalid_request`, and so is an image that is no
link to a stored one. A link lasts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from flow_pipelines.sandbox.bending import Report, fate, report
from flow_pipelines.sandbox.comfy_graph import request_hash
from flow_pipelines.sandbox.floimg_storage import Storage, content_mark, timestamp
from flow_pipelines.sandbox.floimg_workflows import (
    WORKFLOWS,
    list_workflows,
    with_defaults,
    wrong_parameters,
)
from flow_pipelines.sandbox.life import Output, Run, RunOrder, RunState, new_id
from flow_pipelines.sandbox.limits import Standing
from flow_pipelines.sandbox.pictures import Picture
from flow_pipelines.sandbox.wire import (
    Answer,
    Ask,
    Call,
    Refused,
    json_answer,
    json_object,
)
from flow_pipelines.sandbox.world import World

API = "/floimg/v1"
STORAGE = "/floimg-storage"
_WORDS = {
    RunState.QUEUED: "pending",
    RunState.RUNNING: "running",
    RunState.SUCCEEDED: "completed",
    RunState.FAILED: "failed",
}
_CODES = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    429: "rate_limited",
}
_WORKFLOW_FAILED = "workflow_failed"
_SYNC_SECONDS = 300.0


class FloImg:
    """The dialect of FloImg, on its smallest plan with an API."""

    name = "floimg"
    roots: tuple[str, ...] = (API, STORAGE)
    default_key = "fsk_test_sandbox_key_0001"
    requests_per_minute = 60

    def __init__(self, world: World) -> None:
        self._world = world
        self._storage = Storage(STORAGE, world.now, self._refuse)

    def calls(self) -> Sequence[Call]:
        """List the calls about workflows and storage, and what a link to an output opens."""
        workflows = f"{API}/workflows"
        return (
            Call(
                operation="execute_workflow",
                method="POST",
                path=f"{workflows}/execute",
                handle=self._execute,
            ),
            Call(
                operation="get_execution",
                method="GET",
                path=f"{workflows}/executions/{{execution_id}}",
                handle=self._get_execution,
            ),
            Call(operation="list_workflows", method="GET", path=workflows, handle=list_workflows),
            Call(
                operation="get_workflow",
                method="GET",
                path=f"{workflows}/{{workflow_id}}",
                handle=self._get_workflow,
            ),
            Call(
                operation="open_output",
                method="GET",
                path=f"{STORAGE}/{{image_id}}.png",
                handle=self._open_output,
                authenticated=False,
            ),
            *self._storage.calls(API),
        )

    def account(self, ask: Ask, keys: Mapping[str, str]) -> str | None:
        """Know a key by the Authorization header."""
        return keys.get(ask.bearer)

    def refusal(self, status: int, message: str, standing: Standing | None = None) -> Answer:
        """Word an error as FloImg does; a 429 says twice when to come back."""
        del standing
        error: dict[str, Any] = {"code": _CODES.get(status, "unknown"), "message": message}
        if status == 401:  # noqa: PLR2004 - the one message that is documented
            error["message"] = "Invalid or missing API key"
        if status != 429:  # noqa: PLR2004 - too many requests
            return json_answer({"error": error}, status)
        now, window = self._world.now(), self._world.tuning.window_seconds
        wait = max(math.ceil(window - now % window), 1)
        answer = json_answer({"error": {**error, "retryAfter": wait}}, status)
        return answer.with_headers(retry_after=str(wait))

    def finish(self, ask: Ask, answer: Answer) -> Answer:
        """Tell of the rate limit, as every answer to a known key does."""
        if ask.standing is None:
            return answer
        return answer.with_headers(
            x_ratelimit_limit=str(ask.standing.limit),
            x_ratelimit_remaining=str(ask.standing.remaining),
            x_ratelimit_reset=str(math.ceil(ask.standing.resets_at)),
        )

    def environment(self, base_url: str, key: str) -> Mapping[str, str]:
        """Name FloImg's variables."""
        return {"FLOIMG_API_KEY": key, "FLOIMG_BASE_URL": f"{base_url}{API}"}

    def reset(self) -> None:
        """Forget what was uploaded and created; workflows are saved for good."""
        self._storage.reset()

    def _refuse(self, status: int, message: str) -> Refused:
        return Refused(self.refusal(status, message))

    # ---- executions -----------------------------------------------------------------------

    def _execute(self, ask: Ask) -> Answer:
        body = json_object(ask) or {}
        given, waits = body.get("parameters", {}), not body.get("async", False)
        if not isinstance(body.get("workflowId"), str) or not isinstance(given, dict):
            raise self._refuse(400, "expected workflowId and, optionally, parameters and async")
        workflow = self._workflow(body["workflowId"])
        wrong = wrong_parameters(workflow, given)
        if wrong:
            raise self._refuse(400, f"Invalid parameters: {', '.join(wrong)}")
        parameters = with_defaults(workflow, given)
        run = self._world.life.create(
            RunOrder(
                provider=self.name,
                account=ask.account,
                label="",
                request_hash=request_hash({"workflow": workflow["id"], "parameters": given}),
                outputs=(self._output(parameters, ask),),
                id_prefix="exec_",
                fate=fate(ask.fault),
                notes={"workflow_id": workflow["id"]},
            )
        )
        if not waits:
            return json_answer({"executionId": run.id, "status": "pending"}, 202)
        if not self._world.wait(run, _SYNC_SECONDS):
            raise self._refuse(504, "the workflow takes too long")
        return self._ended(run, ask)

    def _ended(self, run: Run, ask: Ask) -> Answer:
        """Answer a synchronous execute."""
        seen = self._report(run, ask)
        document: dict[str, Any] = {"executionId": run.id}
        document["status"] = seen.word or _WORDS[seen.state]
        for output in seen.outputs[:1]:
            size = {"width": output.picture.width, "height": output.picture.height}
            document["output"] = {"url": _url(ask, output), **size, "format": "png"}
        return json_answer({**document, **_error(seen), "duration": int(run.seconds * 1000)})

    def _get_execution(self, ask: Ask) -> Answer:
        run = self._world.life.get(self.name, ask.account, ask.arguments["execution_id"])
        if run is None:
            raise self._refuse(404, "Execution not found")
        seen = self._report(run, ask)
        document: dict[str, Any] = {
            "executionId": run.id,
            "workflowId": run.order.notes["workflow_id"],
            "status": seen.word or _WORDS[seen.state],
        }
        for output in seen.outputs[:1]:
            document["output"] = {"url": _url(ask, output)}
        document.update(_error(seen))
        if seen.state is not RunState.QUEUED:
            document["startedAt"] = timestamp(run.starts_at)
        if seen.state.ended:
            document["completedAt"] = timestamp(run.ends_at)
        return json_answer(document)

    def _report(self, run: Run, ask: Ask) -> Report:
        seen = report(run, self._world.now(), ask.fault)
        if seen.error_code == _WORKFLOW_FAILED:
            error = {"code": _WORKFLOW_FAILED, "message": "Workflow execution failed"}
            raise Refused(json_answer({"error": error}, 500))
        return seen

    def _open_output(self, ask: Ask) -> Answer:
        found = self._world.life.output(self.name, ask.arguments["image_id"])
        if found is None:
            raise self._refuse(404, "no such object")
        return Answer(body=self._world.studio.png(found[1].picture), media_type="image/png")

    # ---- workflows ------------------------------------------------------------------------

    def _workflow(self, workflow_id: str) -> Mapping[str, Any]:
        for workflow in WORKFLOWS:
            if workflow["id"] == workflow_id:
                return workflow
        raise self._refuse(404, "Workflow not found")

    def _get_workflow(self, ask: Ask) -> Answer:
        workflow = dict(self._workflow(ask.arguments["workflow_id"]))
        del workflow["updatedAt"]
        return json_answer(workflow)

    def _output(self, parameters: Mapping[str, Any], ask: Ask) -> Output:
        seed, width, height = (
            int(parameters.get(name) or default)
            for name, default in (("seed", 0), ("width", 512), ("height", 512))
        )
        image_id = new_id("img_")
        picture = Picture(
            prompt=parameters["prompt"],
            seed=seed,
            width=width,
            height=height,
            variant=self._painted_over(parameters, ask),
        )
        return Output(id=image_id, file_name=f"{image_id}.png", picture=picture)

    def _painted_over(self, parameters: Mapping[str, Any], ask: Ask) -> str:
        if "image" not in parameters:
            return ""
        found = self._storage.behind(parameters["image"], ask.base_url)
        if found is None:
            raise self._refuse(400, "Invalid parameters: image")
        return content_mark(found)


def _url(ask: Ask, output: Output) -> str:
    return f"{ask.base_url}{STORAGE}/{output.id}.png"


def _error(seen: Report) -> dict[str, Any]:
    if seen.error_code is None:
        return {}
    return {"error": {"code": _WORKFLOW_FAILED, "message": seen.error_code}}
