"""Workspace, projects and models of FLORA's stand-in."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from flow_pipelines.sandbox.flora_words import (
    API,
    WORKSPACE,
    Problem,
    body_of,
    check_workspace,
    invalid,
    ms,
    page,
    refused,
)
from flow_pipelines.sandbox.life import new_id
from flow_pipelines.sandbox.wire import Answer, Ask, Call, json_answer
from flow_pipelines.sandbox.world import World

PROJECT = "prj_sandbox0001"
_TYPES = ("image", "video", "audio", "text")
_MAX_PROJECTS = 1000
_SIZES = [{"label": "Square", "value": "1:1"}, {"label": "Wide", "value": "16:9"}]
MODELS: Sequence[dict[str, Any]] = (
    {
        "model_id": "sandbox-brush",
        "name": "Sandbox Brush",
        "provider": "sandbox",
        "type": "image",
        "capabilities": ["text-to-image", "image-to-image"],
        "params": [
            {"name": "aspect_ratio", "type": "string", "required": False, "options": _SIZES},
            {"name": "seed", "type": "seed", "required": False},
        ],
        "estimated_credits": 4,
        "estimated_seconds": 8,
    },
    {
        "model_id": "sandbox-reel",
        "name": "Sandbox Reel",
        "provider": "sandbox",
        "type": "video",
        "capabilities": ["text-to-video"],
        "params": [{"name": "seconds", "type": "int", "required": True, "min": 1, "max": 10}],
        "estimated_credits": 60,
        "estimated_seconds": 90,
        "beta": True,
    },
)


class Catalog:
    """What there is besides techniques, runs and assets. Safe to share between threads."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget projects, but for the one that is always there."""
        with self._lock:
            self._projects = {PROJECT: self._project(PROJECT, "Sandbox", "sandbox")}

    def calls(self) -> Sequence[Call]:
        """List the calls."""
        projects = f"{API}/projects"
        return [
            Call(operation=operation, method=method, path=path, handle=handle)
            for operation, method, path, handle in (
                ("list_workspaces", "GET", f"{API}/workspaces", self._workspaces),
                ("list_projects", "GET", projects, self._list_projects),
                ("create_project", "POST", projects, self._create_project),
                ("retrieve_project", "GET", f"{projects}/{{project_id}}", self._get_project),
                ("list_models", "GET", f"{API}/models", self._models),
            )
        ]

    def has_project(self, project_id: Any) -> bool:
        """Return whether there is such a project."""
        with self._lock:
            return project_id in self._projects

    def _workspaces(self, ask: Ask) -> Answer:
        del ask
        own = {"workspace_id": WORKSPACE, "name": "Sandbox", "role": "owner", "created_at": None}
        return json_answer({"workspaces": [own]})

    def _models(self, ask: Ask) -> Answer:
        kind = ask.query.get("type")
        if kind is not None and kind not in _TYPES:
            raise invalid([("type", f"must be one of {', '.join(_TYPES)}")])
        return json_answer({"models": [one for one in MODELS if kind in (None, one["type"])]})

    def _list_projects(self, ask: Ask) -> Answer:
        if "workspace_id" not in ask.query:
            raise invalid([("workspace_id", "is required")])
        check_workspace(ask.query["workspace_id"])
        query = ask.query.get("query", "").lower()
        with self._lock:
            every = [one for one in self._projects.values() if query in one["name"].lower()]
        found = sorted(every, key=lambda one: -one["created_at"])
        cut, meta = page(ask, [one["project_id"] for one in found])
        return json_answer({"projects": found[cut], "meta": meta})

    def _create_project(self, ask: Ask) -> Answer:
        body = body_of(ask)
        names = ("name", "workspace_id")
        wrong: list[Problem] = [(one, "unknown field") for one in sorted(set(body) - set(names))]
        wrong += [
            (one, "is required")
            for one in names
            if not isinstance(body.get(one), str) or not body[one]
        ]
        if wrong:
            raise invalid(wrong)
        check_workspace(body["workspace_id"])
        project = self._project(new_id("prj_"), body["name"], "api")
        with self._lock:
            self._projects[project["project_id"]] = project
            if len(self._projects) > _MAX_PROJECTS:
                del self._projects[next(one for one in self._projects if one != PROJECT)]
        return json_answer(project, 201)

    def _get_project(self, ask: Ask) -> Answer:
        with self._lock:
            found = self._projects.get(ask.arguments["project_id"])
        if found is None:
            raise refused(404, "Project not found.")
        return json_answer(found)

    def _project(self, project_id: str, name: str, origin: str) -> dict[str, Any]:
        return {
            "project_id": project_id,
            "workspace_id": WORKSPACE,
            "name": name,
            "origin": origin,
            "created_at": ms(self._world.now()),
            "last_modified": None,
        }
