"""The receiver of callbacks in the foreground, configured by the environment."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping

import click

from flow_pipelines.cli.environment import open_existing_ledger
from flow_pipelines.cli.processes import ended_by_signals
from flow_pipelines.lifecycle.callback_addresses import SECRET_VARIABLE, URL_VARIABLE, read_secrets
from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.provider import ProviderProfile
from flow_pipelines.providers import profile, provider_names
from flow_pipelines.redaction import RedactedLog, Secret, redact
from flow_pipelines.webhooks import CallbackHandler, Sender, listen, make_app, make_server

BUSY_SECONDS = 5.0
"""Longest wait for a busy ledger: providers wait ten seconds or so, and then deliver again."""


def serve_webhooks(host: str, port: int) -> None:
    """Serve until SIGINT or SIGTERM. Raises: ConfigurationError, LedgerError."""
    secret = os.environ.get(SECRET_VARIABLE)
    if not secret:
        raise ConfigurationError(f"{SECRET_VARIABLE} is not set: addresses are made from it")
    secrets = read_secrets(secret)
    senders = read_senders(os.environ)
    ledger = open_existing_ledger(busy_seconds=BUSY_SECONDS)
    try:
        handler = CallbackHandler(
            ledger=ledger, clock=ledger.clock, secrets=secrets, senders=senders, log=_say
        )
        with listen(host, port) as listener, ended_by_signals():
            _announce(listener.getsockname()[1], host, senders)
            _log_redacted()
            make_server(make_app(handler)).run(sockets=[listener])
    except KeyboardInterrupt:
        _say("stopped")
    finally:
        ledger.close()


def read_senders(environment: Mapping[str, str]) -> dict[str, Sender]:
    """Return the providers that call back, with what they sign with, newest first."""
    profiles = (profile(name) for name in provider_names())
    return {
        one.name: Sender(read=one.read_callback, secrets=_signing_secrets(one, environment))
        for one in profiles
        if one.read_callback is not None
    }


def _signing_secrets(one: ProviderProfile, environment: Mapping[str, str]) -> tuple[Secret, ...]:
    variable = one.callback_secret_variable
    text = "" if variable is None else environment.get(variable, "")
    return tuple(Secret(part.strip()) for part in text.split(",") if part.strip())


def _announce(port: int, host: str, senders: Mapping[str, Sender]) -> None:
    _say(f"listening on {host} port {port} for {', '.join(senders) or 'nobody'}")
    for name, sender in senders.items():
        variable = profile(name).callback_secret_variable
        if variable is not None and not sender.secrets:
            _say(f"{variable} is not set: every callback of {profile(name).title} is refused")
    if not os.environ.get(URL_VARIABLE):
        _say(
            f"{URL_VARIABLE} is not set here; where Dagster runs, it has to be the public https "
            "address of this receiver, or no provider is told to call"
        )


def _say(line: str) -> None:
    click.echo(redact(line), err=True)


def _log_redacted() -> None:
    """Show what uvicorn warns of, without secrets."""
    handler = logging.StreamHandler()
    handler.addFilter(RedactedLog())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
