"""The registry names every provider once, and knows each without loading the others."""

from __future__ import annotations

import subprocess
import sys
from urllib.parse import urlsplit

import pytest

from flow_pipelines.model.errors import ConfigurationError
from flow_pipelines.providers import PROVIDERS, profile, provider_names


def test_an_unknown_provider_is_answered_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match=r"unknown provider 'replicate'; known are: floyo"):
        profile("replicate")


def keeps_a_key(url: str) -> bool:
    """Return whether a key that is sent to a default address is seen by its host only."""
    parts = urlsplit(url)
    on_this_machine = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    return parts.scheme == "https" or (parts.scheme == "http" and on_this_machine)


@pytest.mark.parametrize("url", ["http://api.lumen.example", "ftp://127.0.0.1", "api.lumen"])
def test_no_default_address_may_show_a_key_on_its_way(url: str) -> None:
    assert not keeps_a_key(url)
    assert keeps_a_key("http://127.0.0.1:8188")


@pytest.mark.parametrize("name", provider_names())
def test_a_profile_fits_its_line_in_the_registry(name: str) -> None:
    found = profile(name)
    assert found.name == name
    assert found.key_variable == f"{name.upper()}_API_KEY"
    assert next(iter(found.urls)) == "base_url"
    assert set(found.url_variables) == set(found.urls)
    assert all(keeps_a_key(url) and not url.endswith("/") for url in found.urls.values())
    variables = [found.key_variable, *found.url_variables.values(), *found.other_variables.values()]
    assert len(set(variables)) == len(variables)
    assert all(variable.startswith(f"{name.upper()}_") for variable in variables)


def test_listing_providers_loads_none_of_their_files() -> None:
    program = (
        "import sys; from flow_pipelines.providers import provider_names; provider_names();"
        "print([m for m in sys.modules if m.startswith('flow_pipelines.providers.')])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert shown.stdout.strip() == "[]"


def test_every_line_of_the_registry_names_a_file_of_its_own() -> None:
    for name, place in PROVIDERS.items():
        assert place == f"flow_pipelines.providers.{name}:PROFILE"
