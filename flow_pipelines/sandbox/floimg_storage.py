"""FloImg's storage and projects: what people put there, kept within a limit.

Left open by the pages and decided here: what is created answers 201; what is no image that decodes,
and a project without a name, is an `invalid_request`; a project nobody made is `not_found`; lists
are in the order of creation; an image that is deleted twice is `not_found` the second time.
"""

from __future__ import annotations

import hashlib
import io
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from PIL import Image

from flow_pipelines.sandbox.floimg_workflows import PROJECTS, page
from flow_pipelines.sandbox.life import new_id
from flow_pipelines.sandbox.wire import Answer, Ask, Call, Refused, Upload, json_answer, json_object

_MAX_KEPT = 500
_IN_A_LIST = ("id", "url", "name", "size", "createdAt")


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """One uploaded image."""

    account: str
    project: str | None
    media_type: str
    content: bytes
    told: Mapping[str, Any]
    """What FloImg tells of it, but for its link."""

    @property
    def path(self) -> str:
        """Where its link leads, below the storage."""
        return f"/images/{self.told['id']}.{self.told['format']}"


class Storage:
    """Images and projects of every account. Safe to share between threads."""

    def __init__(
        self, root: str, now: Callable[[], float], refuse: Callable[[int, str], Refused]
    ) -> None:
        self._root, self._now, self._refuse = root, now, refuse
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget what was uploaded and created."""
        with self._lock:
            self._images: OrderedDict[str, StoredImage] = OrderedDict()
            self._projects: OrderedDict[str, tuple[str, Mapping[str, Any]]] = OrderedDict()

    def calls(self, api: str) -> Sequence[Call]:
        """List the calls about images and projects, and what a link to an image opens."""
        images, projects = f"{api}/storage/images", f"{api}/projects"
        one = f"{images}/{{image_id}}"
        documented = (
            ("upload_image", "POST", f"{api}/storage/upload", self._upload),
            ("list_images", "GET", images, self._list_images),
            ("get_image", "GET", one, self._get),
            ("delete_image", "DELETE", one, self._delete),
            ("list_projects", "GET", projects, self._list_projects),
            ("create_project", "POST", projects, self._create_project),
        )
        return (
            *(
                Call(operation=operation, method=method, path=path, handle=handle)
                for operation, method, path, handle in documented
            ),
            Call(
                operation="open_output",
                method="GET",
                path=f"{self._root}/images/{{file_name}}",
                handle=self._open,
                authenticated=False,
            ),
        )

    def behind(self, link: str, base_url: str) -> StoredImage | None:
        """Return the image that a link opens; None: it opens nothing of this storage."""
        with self._lock:
            kept = list(self._images.values())
        return next((one for one in kept if self._link(one, base_url) == link), None)

    # ---- images ---------------------------------------------------------------------------

    def _upload(self, ask: Ask) -> Answer:
        file, project, name = (ask.form.get(field) for field in ("file", "projectId", "name"))
        if not isinstance(file, Upload) or isinstance(project, Upload) or isinstance(name, Upload):
            raise self._refuse(400, "expected the file and, optionally, projectId and name")
        if project and project not in {one["id"] for one in self._projects_of(ask.account)}:
            raise self._refuse(404, "Project not found")
        seen = _look_at(file.content)
        if seen is None:
            raise self._refuse(400, "the file is not an image")
        stored = StoredImage(
            account=ask.account,
            project=project or None,
            media_type=file.media_type,
            content=file.content,
            told={
                "id": new_id("img_"),
                "name": name or file.file_name,
                "size": len(file.content),
                **seen,
                "createdAt": self._timestamp(),
            },
        )
        with self._lock:
            self._images[stored.told["id"]] = stored
            while len(self._images) > _MAX_KEPT:
                self._images.popitem(last=False)
        return json_answer(self._described(stored, ask), 201)

    def _list_images(self, ask: Ask) -> Answer:
        project = ask.query.get("projectId")
        with self._lock:
            own = [one for one in self._images.values() if one.account == ask.account]
        told = [self._described(one, ask) for one in own if project in (None, one.project)]
        return page(ask, "images", [{name: one[name] for name in _IN_A_LIST} for one in told])

    def _get(self, ask: Ask) -> Answer:
        return json_answer(self._described(self._image(ask), ask))

    def _delete(self, ask: Ask) -> Answer:
        found = self._image(ask)
        with self._lock:
            self._images.pop(found.told["id"], None)
        return json_answer({"deleted": True})

    def _image(self, ask: Ask) -> StoredImage:
        with self._lock:
            found = self._images.get(ask.arguments["image_id"])
        if found is None or found.account != ask.account:
            raise self._refuse(404, "Image not found")
        return found

    def _open(self, ask: Ask) -> Answer:
        found = self.behind(f"{ask.base_url}{ask.path}", ask.base_url)
        if found is None:
            raise self._refuse(404, "no such object")
        return Answer(body=found.content, media_type=found.media_type)

    def _described(self, stored: StoredImage, ask: Ask) -> dict[str, Any]:
        return {**stored.told, "url": self._link(stored, ask.base_url)}

    def _link(self, stored: StoredImage, base_url: str) -> str:
        return f"{base_url}{self._root}{stored.path}"

    # ---- projects -------------------------------------------------------------------------

    def _projects_of(self, account: str) -> list[Mapping[str, Any]]:
        with self._lock:
            own = [told for owner, told in self._projects.values() if owner == account]
        return [*PROJECTS, *own]

    def _list_projects(self, ask: Ask) -> Answer:
        return page(ask, "projects", self._projects_of(ask.account))

    def _create_project(self, ask: Ask) -> Answer:
        body = json_object(ask) or {}
        name, description = body.get("name"), body.get("description")
        if not isinstance(name, str) or not name or not isinstance(description, str | None):
            raise self._refuse(400, "expected a name and, optionally, a description")
        told = {"id": new_id("proj_"), "name": name, "createdAt": self._timestamp()}
        told |= {} if description is None else {"description": description}
        with self._lock:
            self._projects[told["id"]] = (ask.account, told)
            while len(self._projects) > _MAX_KEPT:
                self._projects.popitem(last=False)
        return json_answer(told, 201)

    def _timestamp(self) -> str:
        return timestamp(self._now())


def timestamp(at: float) -> str:
    """Write a moment, given in Unix seconds, as FloImg does."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def content_mark(stored: StoredImage) -> str:
    """Name an image by its content, so that what is painted from it is told apart."""
    return hashlib.sha256(stored.content).hexdigest()[:8]


def _look_at(content: bytes) -> dict[str, Any] | None:
    """Return format and size of what decodes as an image."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            kind, (width, height) = str(image.format).lower(), image.size
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    return {"format": kind, "width": width, "height": height}
