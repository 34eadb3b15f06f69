"""What compose.yaml starts, as processes on this machine, by the same commands and variables."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from flow_pipelines.cli.processes import Child, Children
from flow_pipelines_tests.deploy.compose import Service, services
from flow_pipelines_tests.deploy.dockerfile import Image

HERE = "127.0.0.1"


@dataclass(frozen=True)
class Ports:
    """Where on this machine each container's port is."""

    sandbox: int
    bucket: int
    code: int
    webserver: int
    postgres: int

    def place(self, text: str) -> str:
        """Return a word, variable or file with this machine's places in it."""
        whole = {"8700": self.sandbox, "8701": self.bucket, "4000": self.code}
        whole |= {"3000": self.webserver, "5432": self.postgres}
        if text in whole:
            return str(whole[text])
        within = {
            "sandbox:8700": f"{HERE}:{self.sandbox}",
            "sandbox:8701": f"{HERE}:{self.bucket}",
            f"{HERE}:3000": f"{HERE}:{self.webserver}",
            "host: code, port: 4000": f"host: {HERE}, port: {self.code}",
            "@postgres/": f"@{HERE}:{self.postgres}/",
        }
        for there, here in within.items():
            text = text.replace(there, here)
        return HERE if text == "postgres" else text


class Containers:
    """The services of compose.yaml; `children` ends them."""

    def __init__(
        self, image: Image, values: Mapping[str, str], ports: Ports, children: Children
    ) -> None:
        self._image, self._ports, self._children = image, ports, children
        self.services = services(values)
        workspace = Path(image.place("/srv/dagster/workspace.yaml"))
        workspace.write_text(ports.place(workspace.read_text("utf-8")), encoding="utf-8")

    def run(self, name: str) -> None:
        """Run a service that ends. Raises: subprocess.CalledProcessError."""
        service = self.services[name]
        command = self._command(service.command or self._image.command)
        environment = self.environment(service)
        subprocess.run(
            command, cwd=self._image.workdir, env=environment, check=True, capture_output=True
        )

    def start(self, name: str, *, seconds: float = 90.0) -> Child:
        """Start a service and wait until its health check succeeds. Raises: ServiceFailed."""
        service = self.services[name]
        command = ["env", f"--chdir={self._image.workdir}"]
        command += self._command(service.command or self._image.command)
        child = self._children.start(name, command, self.environment(service))
        self._children.wait_for(lambda: self.healthy(service), name, seconds=seconds)
        return child

    def healthy(self, service: Service) -> bool:
        """Return what the service's health check says."""
        ended = subprocess.run(
            self._command(service.health),
            cwd=self._image.workdir,
            env=self.environment(service),
            check=False,
            capture_output=True,
            timeout=60,
        )
        return ended.returncode == 0

    def environment(self, service: Service) -> dict[str, str]:
        """Return the whole environment of a service's process."""
        told = {name: self._place(value) for name, value in service.environment.items()}
        return self._image.variables(told)

    def _command(self, words: Sequence[str]) -> list[str]:
        placed = [
            HERE if before == "--host" else self._place(word) for before, word in pairwise(words)
        ]
        return [str(self._image.python / "bin" / words[0]), *placed]

    def _place(self, text: str) -> str:
        return self._ports.place(self._image.place(text))
