"""Every call that Lumen documents, by its client, at its stand-in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flow_pipelines.model.errors import NotFound, RequestRejected
from flow_pipelines.provider import InputFile, TakesFiles
from flow_pipelines.providers import profile
from flow_pipelines_tests.conformance.providers.account import Account

PNG = b"\x89PNG\r\n\x1a\n and so on"


@pytest.fixture
def lumen(connect: Callable[[str], Account]) -> Account:
    return connect("lumen")


@pytest.fixture
def client(lumen: Account) -> Any:
    """The typed client, under whatever name its module was imported."""
    return lumen.provider.client  # type: ignore[attr-defined]  # every one of ours has it


@pytest.mark.call("lumen", "create_job")
@pytest.mark.call("lumen", "get_job")
def test_a_job_is_made_and_told_of_until_it_is_done(lumen: Account, client: Any) -> None:
    job = client.create_job("lantern", {"words": "a lantern"}, title="by hand")
    assert job.phase in {"waiting", "working"}
    assert job.pictures == ()
    lumen.clock.advance(600)
    done = client.get_job(job.id)
    assert (done.id, done.phase, len(done.pictures)) == (job.id, "done", 2)
    assert lumen.meter().runs_billed == 1


@pytest.mark.call("lumen", "create_job")
def test_what_a_preset_does_not_take_is_refused_and_not_billed(lumen: Account, client: Any) -> None:
    with pytest.raises(RequestRejected, match="base is no upload"):
        client.create_job("lantern", {"words": "a lantern", "base": "upload:upl_nobodys"})
    assert lumen.meter().runs_billed == 0


@pytest.mark.call("lumen", "stop_job")
def test_a_job_is_stopped_once_and_for_all(lumen: Account, client: Any) -> None:
    job = client.create_job("lantern", {"words": "a lantern"})
    assert [client.stop_job(job.id).phase for _ in range(2)] == ["stopped", "stopped"]


@pytest.mark.call("lumen", "get_preset")
def test_a_preset_tells_its_inputs_and_its_price(lumen: Account, client: Any) -> None:
    assert [one.name for one in client.get_preset("lantern").inputs] == ["words", "number", "base"]
    with pytest.raises(NotFound, match="no such preset"):
        client.get_preset("lamp")


@pytest.mark.call("lumen", "get_account")
def test_the_probe_of_the_profile_asks_whose_key_it_is(lumen: Account, client: Any) -> None:
    assert client.get_account()["account"]
    probe = profile("lumen").probe
    assert probe is not None
    assert probe("https://any.example").operation == "get_account"


@pytest.mark.call("lumen", "upload_picture")
def test_an_uploaded_picture_is_what_a_job_takes(lumen: Account, client: Any) -> None:
    provider = lumen.provider
    assert isinstance(provider, TakesFiles)
    file = InputFile(content=PNG, file_name="a.png", media_type="image/png", sha256="0" * 64)
    base = provider.input_value(provider.upload_input(file))
    assert client.create_job("lantern", {"words": "over it", "base": base}).id


@pytest.mark.call("lumen", "open_picture")
def test_a_picture_is_streamed_by_its_id(lumen: Account, client: Any) -> None:
    job = client.create_job("lantern", {"words": "a lantern"})
    lumen.clock.advance(600)
    picture = client.get_job(job.id).pictures[0]
    with client.open_picture(picture.id) as download:
        assert len(download.read()) == picture.bytes
    with pytest.raises(NotFound), client.open_picture("pic_nobodys"):
        pass
