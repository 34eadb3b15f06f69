"""What the sandbox tests share: a clock moved by hand, a graph, a bare client of Floyo."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import requests

LONG_ENOUGH = 1000.0


class HandClock:
    def __init__(self) -> None:
        self.at = 1_795_320_000.0

    def now(self) -> float:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += seconds

    def start_of_a_minute(self) -> None:
        self.at += 60 - self.at % 60


def graph(prompt: str = "a tiger", seed: Any = 7, batch_size: Any = 1) -> dict[str, Any]:
    return {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": seed,
                "negative": ["7", 0],
                "positive": ["6", 0],
                "latent_image": ["5", 0],
            },
        },
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": 64, "height": 80, "batch_size": batch_size},
        },
        "6": {"class_type": "CLIPTextEncode", "inputs": {"text": prompt}},
        "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "watermark"}},
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0]}},
        "9": {
            "class_type": "SaveImage",
            "inputs": {"filename_prefix": "ComfyUI", "images": ["8", 0]},
        },
    }


class FloyoProbe:
    """Sends what it is told, once, and judges nothing."""

    def __init__(self, environment: Mapping[str, str], clock: HandClock) -> None:
        self.api = environment["FLOYO_BASE_URL"]
        self.cdn = environment["FLOYO_CDN_URL"]
        self.clock = clock
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.headers["Authorization"] = f"Bearer {environment['FLOYO_API_KEY']}"

    def post(self, path: str, **body: Any) -> requests.Response:
        return self.session.post(f"{self.api}{path}", json=body, timeout=10)

    def get(self, path: str, **query: Any) -> requests.Response:
        return self.session.get(f"{self.api}{path}", params=query, timeout=10)

    def download(self, file_id: str) -> requests.Response:
        return self.session.get(f"{self.cdn}/{file_id}/download", timeout=10)

    def upload(self, content: bytes, name: str = "cat.png", **form: str) -> requests.Response:
        files = {"file": (name, content, "image/png")}
        return self.session.post(f"{self.cdn}/upload", files=files, data=form, timeout=10)

    def create(self, name: str = "", **changes: Any) -> str:
        extra = {"name": name} if name else {}
        answer = self.post("/runs", workflow=graph(**changes), **extra)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    def finished(self, run_id: str, **query: Any) -> dict[str, Any]:
        self.clock.advance(LONG_ENOUGH)
        run: dict[str, Any] = self.get(f"/runs/{run_id}", **query).json()
        return run
