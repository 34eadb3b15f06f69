"""The Dockerfile's commands, carried out in a virtual environment instead of an image.

An image begins with a Python and an empty disk: here that is a fresh virtual environment, and a
folder in which `/srv`, where all of the image's own files are, begins empty.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flow_pipelines_tests.conftest import PROXIES_OF_THE_CALLER

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@dataclass(frozen=True)
class Instruction:
    name: str
    words: Sequence[str]
    """Of the JSON form, or split at blanks."""
    text: str


def instructions() -> Sequence[Instruction]:
    """Return the Dockerfile's instructions in order."""
    lines = (DEPLOY / "Dockerfile").read_text(encoding="utf-8").splitlines()
    written = [line.partition(" ") for line in lines if line and not line.startswith("#")]
    return [
        Instruction(name, json.loads(text) if text.startswith("[") else text.split(), text)
        for name, _, text in written
    ]


def sent_to_the_builder() -> Sequence[str]:
    """Return the files and folders that Dockerfile.dockerignore lets through."""
    lines = (DEPLOY / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("!") for line in lines if line.startswith("!")]


@dataclass
class Image:
    """What the Dockerfile makes, below `folder`."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: Path = Path("/")
    command: Sequence[str] = ()
    user: str = "root"

    @property
    def python(self) -> Path:
        return self.folder / "venv"

    def place(self, text: str) -> str:
        """Return a command or path of the image as it is here."""
        return text.replace("/srv", str(self.folder / "srv"))

    def variables(self, more: Mapping[str, str]) -> dict[str, str]:
        """Return the whole environment of a process in a container."""
        path = f"{self.python / 'bin'}{os.pathsep}{os.environ['PATH']}"
        index = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        return {**index, "PATH": path, **self.environment, **more}

    def build(self) -> None:
        """Carry out every instruction. Raises: subprocess.CalledProcessError."""
        subprocess.run([sys.executable, "-m", "venv", str(self.python)], check=True)
        (self.folder / "srv").mkdir()
        for one in instructions():
            getattr(self, f"_{one.name.lower()}")(one)

    def _from(self, one: Instruction) -> None:
        assert one.text.startswith("python:")

    def _env(self, one: Instruction) -> None:
        self.environment |= {
            name: self.place(value)
            for name, _, value in (word.partition("=") for word in one.words)
        }

    def _workdir(self, one: Instruction) -> None:
        self.workdir = Path(self.place(one.text))
        self.workdir.mkdir(parents=True, exist_ok=True)

    def _copy(self, one: Instruction) -> None:
        *sources, target = one.words
        for source in sources:
            assert source in sent_to_the_builder(), f"{source} is kept from the builder"
            place = self.workdir / self.place(target)
            if (ROOT / source).is_dir():
                left_out = shutil.ignore_patterns("__pycache__")
                shutil.copytree(ROOT / source, place, ignore=left_out, dirs_exist_ok=True)
                continue
            if target.endswith("/"):
                place.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)

    def _run(self, one: Instruction) -> None:
        subprocess.run(
            ["/bin/sh", "-c", self.place(one.text)],
            cwd=self.workdir,
            env=self.variables(PROXIES_OF_THE_CALLER),
            check=True,
        )

    def _user(self, one: Instruction) -> None:
        self.user = one.text

    def _expose(self, one: Instruction) -> None:
        assert one.text.isdigit()

    def _cmd(self, one: Instruction) -> None:
        self.command = one.words
