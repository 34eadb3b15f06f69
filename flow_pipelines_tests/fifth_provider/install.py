"""Adds Lumen to a copy of this repository, as CONTRIBUTING.md says: new files, and two lines.

`python -m flow_pipelines_tests.fifth_provider.install COPY`, then `make docs` and `make test`
there. Nothing else in the copy is edited, and everything has to pass.
"""

from __future__ import annotations

import sys
from pathlib import Path

MOVED = {
    "lumen.py": "flow_pipelines/providers/lumen.py",
    "stand_in.py": "flow_pipelines/sandbox/lumen.py",
}
"""Files of this package → where they are in a repository that has the provider."""
TESTS = "flow_pipelines_tests/conformance/calls/test_lumen_calls.py"
_ALIAS = """\
\"\"\"In the registry of this copy.\"\"\"

import sys
from importlib import import_module

sys.modules[__name__] = import_module("{name}")
"""


def install(copy: Path) -> None:
    """Move Lumen's files to their places in `copy`, and write its line into each registry."""
    if (copy / MOVED["lumen.py"]).exists():
        raise SystemExit(f"{copy} has Lumen already")
    here = copy / "flow_pipelines_tests" / "fifth_provider"
    for name, place in MOVED.items():
        (here / name).rename(copy / place)
        module = place.removesuffix(".py").replace("/", ".")
        (here / name).write_text(_ALIAS.format(name=module), encoding="utf-8")
    calls = (here / "test_lumen_calls.py").read_text(encoding="utf-8")
    (copy / TESTS).write_text(calls, encoding="utf-8")
    _replace(
        copy / "flow_pipelines/providers/__init__.py",
        '        "flora": "flow_pipelines.providers.flora:PROFILE",\n',
        '        "lumen": "flow_pipelines.providers.lumen:PROFILE",\n',
    )
    dialects = copy / "flow_pipelines/sandbox/dialects.py"
    _replace(
        dialects,
        "from flow_pipelines.sandbox.floyo import Floyo\n",
        "from flow_pipelines.sandbox.lumen import Lumen\n",
    )
    _replace(dialects, "Comflowy, Flora", ", Lumen")


def _replace(file: Path, text: str, after: str) -> None:
    content = file.read_text(encoding="utf-8")
    if text not in content:
        raise SystemExit(f"{file} has no {text!r}")
    file.write_text(content.replace(text, text + after), encoding="utf-8")


if __name__ == "__main__":
    install(Path(sys.argv[1]))
