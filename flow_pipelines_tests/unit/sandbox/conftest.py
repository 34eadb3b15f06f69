from __future__ import annotations

from collections.abc import Iterator

import pytest

from flow_pipelines.sandbox.control_client import ControlClient
from flow_pipelines.sandbox.server import Sandbox
from flow_pipelines.sandbox.settings import SandboxSettings, Tuning
from flow_pipelines_tests.unit.sandbox.probe import FloyoProbe, HandClock

TUNING = Tuning(max_picture_side=96)
KEYS = {"floyo": ("flo_sandbox_key_0001", "flo_sandbox_key_0002")}


@pytest.fixture(scope="session")
def hand_clock() -> HandClock:
    return HandClock()


@pytest.fixture(scope="session")
def running_sandbox(hand_clock: HandClock) -> Iterator[Sandbox]:
    settings = SandboxSettings(port=0, bucket_port=0, tuning=TUNING, keys=KEYS)
    with Sandbox(settings, now=hand_clock.now) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running_sandbox: Sandbox, hand_clock: HandClock) -> Sandbox:
    """One server for all tests, as if it had just started, at the start of a minute."""
    running_sandbox.reset()
    running_sandbox.world.tuning = TUNING
    running_sandbox.world.configure()
    hand_clock.start_of_a_minute()
    return running_sandbox


@pytest.fixture
def control(sandbox: Sandbox) -> ControlClient:
    return ControlClient(sandbox.url)


@pytest.fixture
def floyo(sandbox: Sandbox, hand_clock: HandClock) -> FloyoProbe:
    return FloyoProbe(sandbox.environment(), hand_clock)
