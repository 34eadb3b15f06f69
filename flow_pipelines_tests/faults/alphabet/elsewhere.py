"""A server that is not the provider's, has its pictures, and remembers what it was shown."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self

from flow_pipelines.sandbox.world import World


class Elsewhere:
    """Between `__enter__` and `__exit__`, on loopback."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.seen: list[str] = []
        """Path and headers of every request."""

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _picture(self, path: str) -> bytes:
        for run in self._world.life.runs():
            for output in run.outputs:
                if output.id in path:
                    return self._world.studio.png(output.picture)
        return b"{}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.seen.append(f"{self.path} {self.headers}")
                content = outer._picture(self.path)
                self.send_response(200)
                self.send_header("Content-Type", "image/png")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET  # noqa: N815 - their names

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name
                del format, args

        return Handler
