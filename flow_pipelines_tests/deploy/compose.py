"""What compose.yaml starts, with the values of an `.env` file put in."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from flow_pipelines_tests.deploy.dockerfile import DEPLOY

_VALUE = re.compile(r"\$\{(\w+)(?::\?([^}]*))?\}")


@dataclass(frozen=True)
class Service:
    name: str
    of_our_image: bool
    command: Sequence[str]
    """Empty: the image's own."""
    environment: Mapping[str, str]
    health: Sequence[str]
    """The command that says whether it works; empty: there is none."""


def document() -> Mapping[str, Any]:
    """Return compose.yaml as it is written, with merged keys."""
    read = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    assert isinstance(read, dict)
    return read


def example() -> dict[str, str]:
    """Return the values of `.env.example`."""
    lines = (DEPLOY / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def services(values: Mapping[str, str]) -> Mapping[str, Service]:
    """Return every service. Raises: KeyError, for a value that is needed and empty."""
    return {
        name: Service(
            name=name,
            of_our_image="build" in told,
            command=[_filled(word, values) for word in told.get("command", ())],
            environment=_environment(told.get("environment", {}), values),
            health=told.get("healthcheck", {}).get("test", ["CMD"])[1:],
        )
        for name, told in document()["services"].items()
    }


def _environment(written: Mapping[str, Any], values: Mapping[str, str]) -> dict[str, str]:
    """Return the variables; one without a value is taken from `values`, if it is there."""
    given = {name: _filled(str(text), values) for name, text in written.items() if text is not None}
    passed = {
        name: values[name] for name, text in written.items() if text is None and name in values
    }
    return {**passed, **given}


def _filled(text: str, values: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        name, problem = found.groups()
        if problem and not values.get(name):
            raise KeyError(f"{name}: {problem}")
        return values.get(name, "")

    return _VALUE.sub(value, text)
