"""Assets of FLORA's stand-in, and the store that its upload links lead to.

What the documentation leaves open is decided here as follows. Creating answers with 201. A link is
good for 15 minutes. `complete` before the file came, or twice, is a `conflict`, and so is `retry`
of an asset that neither failed nor has a link that ran out. An address is never visited: what
would have been fetched from it is drawn.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flow_pipelines.sandbox.flora_files import (
    MAX_DIRECT_BYTES,
    MEDIA_TYPES,
    Asset,
    Shelf,
    problem_of,
)
from flow_pipelines.sandbox.flora_words import (
    API,
    MEDIA,
    UPLOADS,
    WORKSPACE,
    Problem,
    body_of,
    check_workspace,
    invalid,
    is_public_https,
    iso,
    ms,
    page,
    refused,
)
from flow_pipelines.sandbox.life import new_id
from flow_pipelines.sandbox.pictures import Picture
from flow_pipelines.sandbox.wire import Answer, Ask, Call, Upload, json_answer
from flow_pipelines.sandbox.world import World

_KEYS = frozenset({"source", "workspace_id", "project_id", "file_name", "content_type", "folder"})
_SIGNED = "signed-url"


class Assets:
    """The calls about assets. Safe to share between threads."""

    def __init__(self, world: World, has_project: Callable[[Any], bool]) -> None:
        self._world, self._has_project = world, has_project
        self._shelf = Shelf()

    def reset(self) -> None:
        """Forget every asset."""
        self._shelf.reset()

    def calls(self) -> Sequence[Call]:
        """List the calls; files are posted and opened without a key."""
        assets, own = f"{API}/assets", f"{API}/assets/{{asset_id}}"
        with_key = (
            ("create_asset", "POST", assets, self._create),
            ("complete_asset", "POST", f"{own}/complete", self._complete),
            ("retry_asset", "POST", f"{own}/retry", self._retry),
            ("list_assets", "GET", assets, self._list),
            ("retrieve_asset", "GET", own, self._retrieve),
        )
        without = (
            ("upload_file", "POST", f"{UPLOADS}/{{asset_id}}", self._receive),
            ("download_output", "GET", f"{MEDIA}/assets/{{asset_id}}", self._open),
        )
        return [
            *(Call(operation=o, method=m, path=p, handle=h) for o, m, p, h in with_key),
            *(
                Call(operation=o, method=m, path=p, handle=h, authenticated=False, limited=False)
                for o, m, p, h in without
            ),
        ]

    def is_ready(self, asset_id: str) -> bool:
        """Return whether there is such an asset, ready to be opened."""
        found = self._shelf.find(asset_id)
        return found is not None and found.status == "ready"

    # ---- creating ---------------------------------------------------------------------------

    def _create(self, ask: Ask) -> Answer:
        multipart = ask.headers.get("content-type", "").startswith("multipart/form-data")
        body: Mapping[str, Any] = ask.form if multipart else body_of(ask)
        self._check(body, needed="file" if multipart else "source")
        make = self._direct if multipart else self._from_source
        asset = make(ask, body)
        self._shelf.keep(asset)
        return json_answer(self._brief(asset, ask), 201)

    def _check(self, body: Mapping[str, Any], needed: str) -> None:
        known = (_KEYS - {"source"}) | {needed}
        wrong: list[Problem] = [(one, "unknown field") for one in sorted(set(body) - known)]
        wrong += [(one, "is required") for one in (needed, "workspace_id") if not body.get(one)]
        wrong += [
            (name, "must be a string")
            for name, value in body.items()
            if name != "file" and not isinstance(value, str)
        ]
        if wrong:
            raise invalid(wrong)
        check_workspace(body["workspace_id"])
        if "project_id" in body and not self._has_project(body["project_id"]):
            raise refused(404, "Project not found.")

    def _direct(self, ask: Ask, body: Mapping[str, Any]) -> Asset:
        file = body["file"]
        if not isinstance(file, Upload):
            raise invalid([("file", "must be a file")])
        problem = problem_of(file.content, file.media_type)
        if len(file.content) > MAX_DIRECT_BYTES:
            problem = "The file has more than 4 MB; use a signed URL."
        if problem:
            raise invalid([("file", problem)])
        asset = self._asset(ask, "direct", {"file_name": file.file_name, **body})
        asset.content, asset.media_type, asset.status = file.content, file.media_type, "ready"
        return asset

    def _from_source(self, ask: Ask, body: Mapping[str, Any]) -> Asset:
        source, declared = body["source"], body.get("content_type")
        if declared is not None and declared not in MEDIA_TYPES:
            raise invalid([("content_type", f"The type {declared} is not allowed.")])
        if source == _SIGNED:
            asset = self._asset(ask, "signed_url", body)
            asset.reserve(self._world.now())
            return asset
        if not is_public_https(source):
            raise invalid([("source", "must be signed-url or a public https address")])
        asset = self._asset(ask, "url", body)
        asset.picture, asset.status = Picture(prompt=source, seed=0), "ready"
        asset.media_type = "image/png"
        return asset

    def _asset(self, ask: Ask, via: str, body: Mapping[str, Any]) -> Asset:
        return Asset(
            id=new_id("asset_"),
            account=ask.account,
            via=via,
            created_at=self._world.now(),
            name=body.get("file_name"),
            project_id=body.get("project_id"),
            declared_type=body.get("content_type"),
        )

    # ---- upload links -----------------------------------------------------------------------

    def _receive(self, ask: Ask) -> Answer:
        asset = self._shelf.find(ask.arguments["asset_id"])
        if "authorization" in ask.headers:
            return _store_error(400, "InvalidArgument", "Only one auth mechanism allowed.")
        if asset is None or asset.via != "signed_url":
            return _store_error(404, "NoSuchKey", "There is no such upload.")
        names, file = list(ask.form), ask.form.get("file")
        if not isinstance(file, Upload) or names[-1] != "file":
            return _store_error(400, "InvalidPolicyDocument", "The file has to be the last field.")
        if {name: ask.form[name] for name in names[:-1]} != _form_fields(asset):
            return _store_error(403, "SignatureDoesNotMatch", "The form is not as it was signed.")
        if self._world.now() >= asset.expires_at:
            return _store_error(403, "AccessDenied", "The policy has expired.")
        if asset.status == "pending_upload":
            asset.content, asset.media_type = file.content, file.media_type
        return Answer(status=204, media_type="application/xml")

    def _complete(self, ask: Ask) -> Answer:
        asset = self._own(ask)
        if asset.status != "pending_upload" or not asset.content:
            raise refused(409, "The asset does not wait to be completed.")
        asset.settle()
        return json_answer(self._brief(asset, ask))

    def _retry(self, ask: Ask) -> Answer:
        asset, now = self._own(ask), self._world.now()
        ran_out = asset.status == "pending_upload" and now >= asset.expires_at
        if asset.status != "failed" and not ran_out:
            raise refused(409, "The asset needs no other upload.")
        asset.reserve(now)
        return json_answer(self._brief(asset, ask))

    # ---- looking ----------------------------------------------------------------------------

    def _retrieve(self, ask: Ask) -> Answer:
        asset = self._own(ask)
        document = {**self._whole(asset, ask), "created_at": iso(asset.created_at)}
        return json_answer({**document, "failure_message": asset.failure})

    def _list(self, ask: Ask) -> Answer:
        check_workspace(ask.query.get("workspace_id", WORKSPACE))
        project, query = ask.query.get("project_id"), ask.query.get("query", "").lower()
        found = [
            asset
            for asset in self._shelf.of(ask.account)
            if project in (None, asset.project_id) and query in (asset.name or "").lower()
        ]
        cut, meta = page(ask, [asset.id for asset in found])
        listed = [
            {
                **self._whole(asset, ask),
                "created_at": ms(asset.created_at),
                "project_id": asset.project_id,
                "node_id": None,
            }
            for asset in found[cut]
        ]
        return json_answer({"assets": listed, "meta": meta})

    def _open(self, ask: Ask) -> Answer:
        asset = self._shelf.find(ask.arguments["asset_id"])
        if asset is None or asset.status != "ready":
            raise refused(404, "No such file.")
        return Answer(body=self._content(asset), media_type=asset.media_type or "image/png")

    def _own(self, ask: Ask) -> Asset:
        asset = self._shelf.find(ask.arguments["asset_id"])
        if asset is None or asset.account != ask.account:
            raise refused(404, "Asset not found.")
        return asset

    def _content(self, asset: Asset) -> bytes:
        drawn = asset.picture
        return asset.content if drawn is None else self._world.studio.png(drawn)

    def _brief(self, asset: Asset, ask: Ask) -> dict[str, Any]:
        document: dict[str, Any] = {
            "asset_id": asset.id,
            "status": asset.status,
            "uploaded_via": asset.via,
            "url": _link(asset, ask),
            "visibility": "workspace",
            "workspace_id": WORKSPACE,
        }
        if asset.failure is not None:
            document["failure_message"] = asset.failure
        if asset.status == "pending_upload":
            document["expires_at"] = iso(asset.expires_at)
            document["upload"] = {
                "url": f"{ask.base_url}{UPLOADS}/{asset.id}",
                "method": "POST",
                "content_type": "multipart/form-data",
                "file_field": "file",
                "form_fields": _form_fields(asset),
            }
            document["upload_url"] = document["upload"]["url"]
        return document

    def _whole(self, asset: Asset, ask: Ask) -> dict[str, Any]:
        return {
            "asset_id": asset.id,
            "status": asset.status,
            "uploaded_via": asset.via,
            "url": _link(asset, ask) if asset.status == "ready" else None,
            "workspace_id": WORKSPACE,
            "name": asset.name,
            "description": None,
            "content_type": asset.media_type or asset.declared_type or "application/octet-stream",
            "upload_content_type": asset.declared_type,
            "size_bytes": len(self._content(asset)) if asset.status == "ready" else None,
            "width": None,
            "height": None,
        }


def _link(asset: Asset, ask: Ask) -> str:
    return f"{ask.base_url}{MEDIA}/assets/{asset.id}"


def _form_fields(asset: Asset) -> dict[str, str]:
    """Return what a client sends along, as Google's storage wants it of a policy document."""
    policy = json.dumps({"expiration": iso(asset.expires_at), "key": asset.id})
    return {
        "key": f"assets/{asset.id}",
        "policy": base64.b64encode(policy.encode()).decode(),
        "x-goog-signature": asset.token,
    }


def _store_error(status: int, code: str, message: str) -> Answer:
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status=status, body=text.encode(), media_type="application/xml")
