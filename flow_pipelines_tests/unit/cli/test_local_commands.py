"""The commands that run the stand-ins, where their packages are not installed."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize("command", ["sandbox", "demo"])
def test_without_the_extra_the_message_says_what_to_install(command: str) -> None:
    code = (
        "import sys; sys.modules['localbucket'] = None; sys.modules['uvicorn'] = None\n"
        f"from flow_pipelines.cli import main; main(['{command}'])"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert answer.returncode == 1
    assert "pip install 'flow-pipelines[sandbox]'" in answer.stderr
    assert "Traceback" not in answer.stderr
