"""Two hosts in network namespaces with Celery between them, one of which is killed."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from flow_pipelines_tests.cluster.__main__ import CANNOT_RUN

pytestmark = pytest.mark.end_to_end
COMMAND = [sys.executable, "-m", "flow_pipelines_tests.cluster", "--short"]
LIMIT_SECONDS = 420.0


@pytest.mark.case(
    "no test crossed a host",
    "a host that is killed with an answer under way: another one goes on, each row is bought once",
)
def test_a_host_is_killed_while_it_buys_and_another_one_goes_on() -> None:
    with subprocess.Popen(
        COMMAND,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as cluster:
        try:
            said, _ = cluster.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            cluster.send_signal(signal.SIGTERM)  # it takes its namespaces along
            said, _ = cluster.communicate()
    if cluster.returncode == CANNOT_RUN:
        pytest.skip(said.strip())
    assert cluster.returncode == 0, said
