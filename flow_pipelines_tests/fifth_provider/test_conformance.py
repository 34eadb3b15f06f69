"""The conformance suite, as it is, over a provider that it has never heard of."""

from __future__ import annotations

from flow_pipelines_tests.conformance.providers.test_contract import *  # noqa: F403 - every test
from flow_pipelines_tests.conformance.providers.test_failures import *  # noqa: F403 - every test
from flow_pipelines_tests.conformance.providers.test_probe import *  # noqa: F403 - every test
