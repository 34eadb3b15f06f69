"""flow-pipelines as a user gets it: a wheel, installed into a folder away from this repository."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[2]
PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "--no-input")
LIMIT_SECONDS = 180.0


@dataclass(frozen=True)
class Installed:
    """A wheel, the folder that it is installed in, and copies of users' projects."""

    wheel: Path
    site: Path
    projects: Path

    def python_path(self, project: str = "") -> str:
        """What has to be on PYTHONPATH for our package and, if given, for a project."""
        return ":".join([str(self.site), *([str(self.projects / project)] if project else [])])

    def run(
        self, project: str, environment: Mapping[str, str], *command: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a Python program in a project's folder as its user would."""
        return subprocess.run(
            [sys.executable, *command],
            cwd=self.projects / project,
            env={**environment, "PYTHONPATH": self.python_path(project)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=LIMIT_SECONDS,
        )


def install(folder: Path) -> Installed:
    """Build the wheel from a copy of the sources and install it; the network is not asked."""
    sources, wheels, site = folder / "sources", folder / "wheels", folder / "site"
    shutil.copytree(
        REPOSITORY / "flow_pipelines",
        sources / "flow_pipelines",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("pyproject.toml", "README.md", "setup.cfg"):
        shutil.copy(REPOSITORY / name, sources)
    alone = ("--no-deps", "--no-index")
    _run([*PIP, "wheel", *alone, "--no-build-isolation", "-w", str(wheels), str(sources)])
    (wheel,) = wheels.glob("*.whl")
    _run([*PIP, "install", *alone, "--target", str(site), str(wheel)])
    shutil.rmtree(sources)
    for project in ("gallery", "annex"):
        shutil.copytree(HERE / project, folder / "projects" / project)
    return Installed(wheel, site, folder / "projects")


def _run(command: Sequence[str]) -> None:
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=LIMIT_SECONDS
    )
    assert ended.returncode == 0, ended.stderr
