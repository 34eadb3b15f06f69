"""Files at Floyo: outputs, drawn when somebody looks, and uploads, kept within a limit."""

from __future__ import annotations

import secrets
import threading
from collections import Counter, OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from flow_pipelines.sandbox.floyo_tokens import TokenRefused, check_token, make_token
from flow_pipelines.sandbox.life import Output, Run, new_id
from flow_pipelines.sandbox.pictures import Picture
from flow_pipelines.sandbox.wire import Ask, Upload
from flow_pipelines.sandbox.world import World

_CDN = "/floyo-cdn"
_MAX_UPLOADS = 200
_MAX_SIZES = 200_000


@dataclass(frozen=True, kw_only=True)
class Stored:
    """One file: a picture yet to be drawn, or the bytes of an upload."""

    id: str
    account: str
    file_name: str
    input_path: str
    created_at: float
    media_type: str = "image/png"
    picture: Picture | None = None
    content: bytes = b""


def stored_output(run: Run, output: Output) -> Stored:
    """Return an output of a run as a file."""
    return Stored(
        id=output.id,
        account=run.order.account,
        file_name=output.file_name,
        input_path=f"(as input)#outputs/{output.file_name}",
        created_at=run.ends_at,
        media_type=output.media_type,
        picture=output.picture if output.file is None else None,
        content=b"" if output.file is None else output.file.content,
    )


class FileShelf:
    """Finds files by id and describes them. Safe to share between threads."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._secret = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Forget uploads and start to number outputs anew."""
        with self._lock:
            self._uploads: OrderedDict[str, Stored] = OrderedDict()
            self._sizes: OrderedDict[Picture, int] = OrderedDict()
            self._numbers: Counter[tuple[str, str]] = Counter()

    def next_name(self, account: str, prefix: str) -> str:
        """Number an output as ComfyUI does: `ComfyUI_00994_.png`."""
        with self._lock:
            self._numbers[account, prefix] += 1
            return f"{PurePosixPath(prefix).name}_{self._numbers[account, prefix]:05d}_.png"

    def find(self, file_id: str) -> Stored | None:
        """Return a file; None when there is none of that id."""
        with self._lock:
            upload = self._uploads.get(file_id)
        made = self._world.life.output("floyo", file_id)
        return upload if made is None else stored_output(*made)

    def content(self, stored: Stored) -> bytes:
        """Return a file's bytes."""
        if stored.picture is None:
            return stored.content
        return self._world.studio.png(stored.picture)

    def describe(self, stored: Stored, ask: Ask, expires_in: int | None) -> dict[str, Any]:
        """Return a file's object, with a link that works for `expires_in` seconds if asked for."""
        created = datetime.fromtimestamp(stored.created_at, UTC)
        document = {
            "id": stored.id,
            "file_name": stored.file_name,
            "size_bytes": self._size(stored),
            "mime_type": stored.media_type,
            "created_at": created.isoformat(timespec="microseconds"),
            "input_path": stored.input_path,
        }
        if expires_in is not None:
            now = self._world.now()
            token = make_token(self._secret, stored.id, stored.account, now, expires_in)
            document["presigned_url"] = f"{ask.base_url}{_CDN}/{stored.id}?token={token}"
        return document

    def _size(self, stored: Stored) -> int:
        picture = stored.picture
        if picture is None:
            return len(stored.content)
        with self._lock:
            known = self._sizes.get(picture)
        size = len(self._world.studio.png(picture)) if known is None else known
        with self._lock:
            self._sizes[picture] = size
            while len(self._sizes) > _MAX_SIZES:
                self._sizes.popitem(last=False)
        return size

    def token_problem(self, ask: Ask) -> str | None:
        """Tell why the token in the query does not open the file; None: it does."""
        token = ask.query.get("token", "")
        try:
            check_token(self._secret, token, ask.arguments["file_id"], self._world.now())
        except TokenRefused as problem:
            return str(problem)
        return None

    def free_name(self, account: str, folder: str, name: str) -> str:
        """Return `name`, or the next free one like it: `name (1).png`."""
        with self._lock:
            taken = {one.input_path for one in self._uploads.values() if one.account == account}
        path, number, free = PurePosixPath(name), 0, name
        while _input_path(folder, free) in taken:
            number += 1
            free = f"{path.stem} ({number}){path.suffix}"
        return free

    def keep_upload(self, account: str, folder: str, name: str, file: Upload) -> Stored:
        """Keep an uploaded file; the oldest of many uploads is forgotten."""
        stored = Stored(
            id=new_id("file_"),
            account=account,
            file_name=name,
            input_path=_input_path(folder, name),
            created_at=self._world.now(),
            media_type=file.media_type,
            content=file.content,
        )
        with self._lock:
            self._uploads[stored.id] = stored
            while len(self._uploads) > _MAX_UPLOADS:
                self._uploads.popitem(last=False)
        return stored


def _input_path(folder: str, name: str) -> str:
    return str(PurePosixPath("/", folder.strip("/"), name)).lstrip("/")
