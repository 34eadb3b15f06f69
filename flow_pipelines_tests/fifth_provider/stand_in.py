"""Lumen's API and its file server, after lumen.example/docs."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from flow_pipelines.sandbox.bending import fate, report
from flow_pipelines.sandbox.comfy_graph import request_hash
from flow_pipelines.sandbox.life import Output, Run, RunOrder, RunState, new_id
from flow_pipelines.sandbox.limits import Standing
from flow_pipelines.sandbox.pictures import Picture
from flow_pipelines.sandbox.wire import (
    Answer,
    Ask,
    Call,
    Refused,
    Upload,
    json_answer,
    json_object,
)
from flow_pipelines.sandbox.world import World

API, FILES = "/lumen", "/lumen-files"
PHASES = {
    RunState.QUEUED: "waiting",
    RunState.RUNNING: "working",
    RunState.SUCCEEDED: "done",
    RunState.FAILED: "broken",
    RunState.CANCELED: "stopped",
}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "lantern": {
        "name": "lantern",
        "revision": 3,
        "price": "0.012500",
        "inputs": [
            {"name": "words", "kind": "words", "needed": True},
            {"name": "number", "kind": "whole", "unless": 0},
            {"name": "base", "kind": "picture"},
        ],
    }
}
PICTURES = 2
"""What a job of a preset makes."""
SIGNED_WITH = "lumen_sandbox_signing_0001"
MOST_UPLOADS = 1000


class Lumen:
    """The dialect of Lumen."""

    name = "lumen"
    roots: tuple[str, ...] = (API, FILES)
    default_key = "lumen_key_sandbox_0001"
    requests_per_minute = 120

    def __init__(self, world: World) -> None:
        self._world = world
        self._uploads: dict[str, Upload] = {}

    def calls(self) -> Sequence[Call]:
        """List the seven documented calls."""
        job = f"{API}/jobs/{{job_id}}"
        return (
            Call(operation="create_job", method="POST", path=f"{API}/jobs", handle=self._create),
            Call(operation="get_job", method="GET", path=job, handle=self._get),
            Call(operation="stop_job", method="DELETE", path=job, handle=self._stop),
            Call(
                operation="get_preset",
                method="GET",
                path=f"{API}/presets/{{name}}",
                handle=lambda ask: json_answer(self._preset(ask.arguments["name"])),
            ),
            Call(
                operation="get_account",
                method="GET",
                path=f"{API}/account",
                handle=lambda ask: json_answer({"account": ask.account}),
            ),
            Call(
                operation="upload_picture",
                method="POST",
                path=f"{FILES}/uploads",
                handle=self._upload,
                limited=False,
            ),
            Call(
                operation="open_picture",
                method="GET",
                path=f"{FILES}/pictures/{{picture_id}}",
                handle=self._open,
                limited=False,
            ),
        )

    def account(self, ask: Ask, keys: Mapping[str, str]) -> str | None:
        """Know a key in the header."""
        return keys.get(ask.bearer)

    def refusal(self, status: int, message: str, standing: Standing | None = None) -> Answer:
        """Word an error as `{trouble: …}`; no header says when to come back."""
        del standing
        return json_answer({"trouble": {"code": f"lumen_{status}", "text": message}}, status)

    def finish(self, ask: Ask, answer: Answer) -> Answer:
        """Add nothing: Lumen documents no headers."""
        del ask
        return answer

    def environment(self, base_url: str, key: str) -> Mapping[str, str]:
        """Name Lumen's variables."""
        return {
            "LUMEN_API_KEY": key,
            "LUMEN_BASE_URL": f"{base_url}{API}",
            "LUMEN_FILES_URL": f"{base_url}{FILES}",
            "LUMEN_CALLBACK_SECRET": SIGNED_WITH,
        }

    def reset(self) -> None:
        """Forget the uploads; jobs are not its business."""
        self._uploads.clear()

    def _refuse(self, status: int, message: str) -> Refused:
        return Refused(self.refusal(status, message))

    def _preset(self, name: Any) -> Mapping[str, Any]:
        if name not in PRESETS:
            raise self._refuse(404, "no such preset")
        return PRESETS[name]

    def _create(self, ask: Ask) -> Answer:
        body = json_object(ask) or {}
        inputs = body.get("inputs")
        preset = self._preset(body.get("preset"))
        if not isinstance(inputs, dict) or not isinstance(inputs.get("words"), str):
            raise self._refuse(400, "inputs: words are needed")
        base = inputs.get("base")
        if base is not None and str(base).removeprefix("upload:") not in self._uploads:
            raise self._refuse(400, "inputs: base is no upload")
        run = self._world.life.create(
            RunOrder(
                provider=self.name,
                account=ask.account,
                label=str(body.get("title", "")),
                request_hash=request_hash({"preset": preset["name"], "inputs": inputs}),
                outputs=tuple(_output(inputs, number) for number in range(PICTURES)),
                id_prefix="job_",
                price_usd=Decimal(preset["price"]),
                fate=fate(ask.fault),
            )
        )
        if isinstance(body.get("callback"), str):
            self._call_back(run, body["callback"])
        return self._tell(run, ask, 201)

    def _call_back(self, run: Run, url: str) -> None:
        event_id = new_id("evt_")

        def write() -> tuple[bytes, Mapping[str, str]]:
            phase = PHASES[run.state(self._world.now())]
            body = json.dumps({"event": event_id, "job": run.id, "phase": phase}).encode()
            return body, {"Content-Type": "application/json"}

        def sign(body: bytes) -> Mapping[str, str]:
            sent = datetime.fromtimestamp(self._world.now(), UTC).isoformat()
            signed = f"{sent}.".encode() + body
            digest = hmac.new(SIGNED_WITH.encode(), signed, hashlib.sha256).hexdigest()
            return {"Lumen-Sent": sent, "Lumen-Signature": digest}

        self._world.call_back(run, url, write, sign=sign)

    def _upload(self, ask: Ask) -> Answer:
        file = ask.form.get("file")
        if not isinstance(file, Upload) or len(self._uploads) >= MOST_UPLOADS:
            raise self._refuse(400, "file: is missing, or there are too many")
        upload_id = new_id("upl_")
        self._uploads[upload_id] = file
        return json_answer({"id": upload_id}, 201)

    def _get(self, ask: Ask) -> Answer:
        return self._tell(self._run(ask), ask)

    def _stop(self, ask: Ask) -> Answer:
        run = self._run(ask)
        self._world.life.cancel(run)
        return self._tell(run, ask)

    def _run(self, ask: Ask) -> Run:
        run = self._world.life.get(self.name, ask.account, ask.arguments["job_id"])
        if run is None:
            raise self._refuse(404, "no such job")
        return run

    def _tell(self, run: Run, ask: Ask, status: int = 200) -> Answer:
        now = self._world.now()
        seen = report(run, now, ask.fault)
        job: dict[str, Any] = {"id": run.id, "phase": seen.word or PHASES[seen.state]}
        job["pictures"] = [
            {
                "id": one.id,
                "file": one.file_name,
                "bytes": len(self._world.studio.png(one.picture)),
            }
            for one in seen.outputs
        ]
        if seen.state is not RunState.QUEUED and now >= run.starts_at:
            job["started"] = datetime.fromtimestamp(run.starts_at, UTC).isoformat()
        if seen.state in (RunState.SUCCEEDED, RunState.FAILED):
            job["ended"] = datetime.fromtimestamp(run.ends_at, UTC).isoformat()
            job["charged"] = str(run.charged_usd(now))
        if seen.error_code is not None:
            job["trouble"] = {"code": seen.error_code, "text": f"it broke: {seen.error_code}"}
        return json_answer({"job": job}, status)

    def _open(self, ask: Ask) -> Answer:
        found = self._world.life.output(self.name, ask.arguments["picture_id"])
        if found is None:
            raise self._refuse(404, "no such picture")
        return Answer(body=self._world.studio.png(found[1].picture), media_type="image/png")


def _output(inputs: Mapping[str, Any], number: int) -> Output:
    seed = int(inputs.get("number") or 0) + number
    picture = Picture(prompt=inputs["words"], seed=seed, width=64, height=64)
    picture_id = new_id("pic_")
    return Output(id=picture_id, file_name=f"{picture_id}.png", picture=picture)
