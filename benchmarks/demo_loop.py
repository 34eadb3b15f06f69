"""The opponent: Floyo's own demo loop, one run after the other, several of them in parallel.

POST, then GET every 2.5 s, then one more GET for the links. It knows no limit: told 429 it asks
again after its usual pause. Source: docs.floyo.ai, the demo application's polling loop.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus

import requests

from benchmarks.place import LIMIT, OPPONENT, Place
from flow_pipelines_tests.conformance.providers.account import SAMPLES
from flow_pipelines_tests.faults.crash.harness import sample_workflow

PAUSE_SECONDS = 2.5
PARALLEL = LIMIT // round(60 / PAUSE_SECONDS)
"""As many as the limit carries: each asks 24 times a minute."""


def run_loops(place: Place, until_seconds: float) -> list[float]:
    """Run the loops until so many seconds of the place's clock; give when each run was done."""
    with ThreadPoolExecutor(PARALLEL) as pool:
        found = list(pool.map(lambda number: loop(place, number, until_seconds), range(PARALLEL)))
    return [at for one in found for at in one]


def loop(place: Place, number: int, until_seconds: float) -> list[float]:
    """Run one loop until so many seconds of the place's clock."""
    clock, session, done = place.clock, requests.Session(), []
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {OPPONENT}"
    base = place.environment["FLOYO_BASE_URL"]
    graph = json.loads((SAMPLES / "floyo" / sample_workflow("floyo")).read_text())

    def ask(method: str, path: str, **said: object) -> requests.Response | None:
        while clock.monotonic() < until_seconds:
            answer = session.request(method, f"{base}{path}", timeout=30, **said)  # type: ignore[arg-type]
            if answer.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                return answer
            clock.sleep(PAUSE_SECONDS)
        return None

    while clock.monotonic() < until_seconds:
        name = f"demo {number} {len(done)}"
        graph["6"]["inputs"]["text"] = name  # the same graph again would come from a cache
        body = {"workflow": graph, "name": name}
        answer = ask("POST", "/runs", json=body)
        path = f"/runs/{answer.json()['id']}" if answer is not None else ""
        while answer is not None and answer.json().get("status") != "done":
            clock.sleep(PAUSE_SECONDS)
            answer = ask("GET", path)
        if answer is not None and ask("GET", path, params={"expand": "outputs.presigned_url"}):
            done.append(clock.monotonic())
    return done
