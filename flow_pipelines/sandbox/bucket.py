"""A local S3 bucket: LocalBucket, whose objects are plain files, taught what it lacks.

LocalBucket 1.2.1 keeps no metadata, guesses media types from names, stores an upload that was cut
short and cannot delete several objects in one call. Here it can; metadata is kept in files beside
the buckets, and a short body is refused.
"""

from __future__ import annotations

import hashlib
import json
import threading
import xml.etree.ElementTree as ET
from collections.abc import Callable
from http import HTTPStatus
from http.server import ThreadingHTTPServer
from pathlib import Path
from socketserver import TCPServer
from typing import Any, BinaryIO, cast
from urllib.parse import unquote
from xml.sax.saxutils import escape

from localbucket import S3_NAMESPACE, S3Error, S3Handler, object_etag

_METADATA = ".metadata"
_KEY = f"{{{S3_NAMESPACE}}}Key"
_STRICT = "sandbox; default-src 'none'"
_OF_A_PAGE = "sandbox allow-scripts allow-popups"
"""A gallery filters by script. Nothing but our own pages is stored as text/html."""
_KEPT_HEADERS = ("content-type", "content-disposition", "content-encoding", "cache-control")


class _Handler(S3Handler):  # type: ignore[misc] # LocalBucket has no types
    """LocalBucket's handler with object metadata."""

    _policy = _STRICT
    # Head and body leave in two writes: without this each answer waits for a delayed ACK.
    disable_nagle_algorithm = True

    def end_headers(self) -> None:
        """Tell browsers to take no object for a page: any may have been made by a stranger."""
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", self._policy)
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the parent's name
        """Keep quiet: the sandbox has a request log of its own."""

    def _post_request(self, bucket: str, key: str) -> None:
        """Also delete several objects in one call."""
        if key or "delete" not in self.query:
            super()._post_request(bucket, key)
            return
        try:
            request = ET.fromstring(self._read_body())  # noqa: S314 - from this machine only
        except ET.ParseError:
            raise self._malformed_xml_error() from None
        listed = [one.text or "" for one in request.iter(_KEY)]
        for each in listed:
            self._object_path(bucket, each).unlink(missing_ok=True)
        deleted = "".join(f"<Deleted><Key>{escape(each)}</Key></Deleted>" for each in listed)
        answer = f'<DeleteResult xmlns="{S3_NAMESPACE}">{deleted}</DeleteResult>'
        self._send(HTTPStatus.OK, answer.encode(), {"Content-Type": "application/xml"})

    def _read_body(self) -> bytes:
        body = cast("bytes", super()._read_body())
        announced = self.headers.get("x-amz-decoded-content-length")
        announced = announced or self.headers.get("Content-Length")
        if announced is not None and len(body) != int(announced):
            message = "The request body is shorter than was announced."
            raise S3Error(HTTPStatus.BAD_REQUEST, "IncompleteBody", message)
        return body

    def _write_object(self, bucket: str, key: str, write: Callable[[BinaryIO], str]) -> str:
        """Note the metadata under the content's ETag before the object can be seen."""
        metadata = self._declared_metadata()

        def write_and_note(file: BinaryIO) -> str:
            etag = write(file)
            note = self._metadata_path(bucket, key, etag)
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(metadata))
            return etag

        return cast("str", super()._write_object(bucket, key, write_and_note))

    def _declared_metadata(self) -> dict[str, str]:
        """Read what this object's metadata is to be: from here, its source or its upload."""
        if "x-amz-copy-source" in self.headers:
            directive = self.headers.get("x-amz-metadata-directive", "COPY").upper()
            if directive != "REPLACE":
                source = unquote(self.headers["x-amz-copy-source"]).lstrip("/").partition("/")
                return self._noted(source[0], source[2])
        upload_id = self.query.get("uploadId")
        if upload_id:
            return _read(self.data_root / _METADATA / "uploads" / f"{upload_id}.json")
        return self._sent_metadata()

    def _sent_metadata(self) -> dict[str, str]:
        return {
            name.lower(): value
            for name, value in self.headers.items()
            if name.lower() in _KEPT_HEADERS or name.lower().startswith("x-amz-meta-")
        }

    def _noted(self, bucket: str, key: str) -> dict[str, str]:
        return _read(self._metadata_path(bucket, key, object_etag(self._object_path(bucket, key))))

    def _metadata_path(self, bucket: str, key: str, etag: str) -> Path:
        name = hashlib.sha256(key.encode()).hexdigest()[:40]
        return Path(self.data_root) / _METADATA / bucket / f"{name}.{etag}.json"

    def _send_xml(self, root: Any) -> None:
        """Keep the metadata of a multipart upload that begins."""
        if root.tag == "InitiateMultipartUploadResult":
            note = self.data_root / _METADATA / "uploads" / f"{root.findtext('UploadId')}.json"
            note.parent.mkdir(parents=True, exist_ok=True)
            note.write_text(json.dumps(self._sent_metadata()))
        super()._send_xml(root)

    def _send_file(
        self,
        status: HTTPStatus,
        file: BinaryIO,
        start: int,
        length: int,
        headers: dict[str, str],
        include_body: bool,  # noqa: FBT001 - the parent's signature
    ) -> None:
        """Add the noted metadata to the answer; what the query overrides stays overridden."""
        path = Path(file.name).relative_to(Path(self.data_root).resolve())
        bucket, key = path.parts[0], "/".join(path.parts[1:])
        noted = _read(self._metadata_path(bucket, key, headers["ETag"].strip('"')))
        if "response-content-type" not in self.query and "content-type" in noted:
            headers["Content-Type"] = noted.pop("content-type")
        present = {name.lower() for name in headers}
        headers.update({name: value for name, value in noted.items() if name not in present})
        is_page = headers.get("Content-Type", "").startswith("text/html")
        self._policy = _OF_A_PAGE if is_page else _STRICT
        super()._send_file(status, file, start, length, headers, include_body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind without asking DNS for a name, which takes seconds on some machines."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


class Bucket:
    """An S3 endpoint over a folder; any credentials open it. Objects outlive the server."""

    def __init__(
        self,
        folder: Path,
        name: str,
        host: str = "127.0.0.1",
        port: int = 0,
        known_as: str | None = None,
    ) -> None:
        """Listen on `host`, which clients call `known_as`. Raises: OSError."""
        folder = folder.resolve()
        (folder / name).mkdir(parents=True, exist_ok=True)
        handler = type("_BoundHandler", (_Handler,), {"data_root": folder})
        self._server = _Server((host, port), handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self.name = name
        self.folder = folder
        self.url = f"http://{known_as or host}:{self._server.server_port}"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering; objects stay in the folder."""
        self._server.shutdown()
        self._server.server_close()


def _read(path: Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text()))
    except (OSError, ValueError):
        return {}
