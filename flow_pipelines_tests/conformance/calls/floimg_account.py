"""What tests of FloImg's calls share: a client, an order and a picture."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from flow_pipelines.providers.floimg import FloImgClient
from flow_pipelines.providers.floimg.records import Execution
from flow_pipelines_tests.conformance.providers.account import Account

WORKFLOW = "wf_city_poster"
CITY: dict[str, Any] = {"prompt": "a city", "width": 64, "height": 64}


def png(color: str = "red") -> bytes:
    target = io.BytesIO()
    Image.new("RGB", (40, 30), color).save(target, "PNG")
    return target.getvalue()


def client_of(account: Account) -> FloImgClient:
    found = account.provider.client  # type: ignore[attr-defined]
    assert isinstance(found, FloImgClient)
    return found


def ended(account: Account, client: FloImgClient, execution_id: str) -> Execution:
    account.clock.advance(600)
    return client.get_execution(execution_id)
