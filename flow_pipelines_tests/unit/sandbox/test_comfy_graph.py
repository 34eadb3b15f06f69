from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.sandbox import comfy_graph
from flow_pipelines_tests.unit.sandbox.probe import graph


def with_node(node_id: str, node: Any) -> dict[str, Any]:
    return {**graph(), node_id: node}


SAVE = {"class_type": "SaveImage", "inputs": {"images": ["8", 0]}}


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ({}, "no_prompt"),
        ("text", "no_prompt"),
        ({"nodes": [], "links": [], "version": 0.4}, "invalid_prompt"),
        (with_node("1", {"inputs": {}}), "invalid_prompt"),
        (with_node("1", {"class_type": "LoadImage"}), "invalid_prompt"),
        (with_node("1", {"class_type": "A", "inputs": {"x": ["99", 0]}}), "bad_linked_input"),
        (with_node("1", {"class_type": "A", "inputs": {"x": ["8"]}}), "bad_linked_input"),
        (with_node("1", {"class_type": "A", "inputs": {"x": [8, 0]}}), "bad_linked_input"),
        ({"1": {"class_type": "LoadImage", "inputs": {}}}, "prompt_no_outputs"),
        (graph(seed="many"), "invalid_input_type"),
        (graph(seed=-1), "value_smaller_than_min"),
        (graph(seed=2**64), "value_bigger_than_max"),
        (graph(batch_size=0), "value_smaller_than_min"),
    ],
)
def test_what_comfyui_would_not_run_is_refused(bad: Any, kind: str) -> None:
    with pytest.raises(comfy_graph.GraphRefused, match=f"^{kind}"):
        comfy_graph.check(bad)


@pytest.mark.parametrize("good", [graph(), graph(seed=2**64 - 1), graph(seed="12")])
def test_what_comfyui_would_run_is_accepted(good: dict[str, Any]) -> None:
    assert comfy_graph.check(good) == good


def test_prompt_seed_and_size_are_read_from_the_graph() -> None:
    (save,) = comfy_graph.saves(graph("a castle", seed="12"))
    picture = save.picture
    assert (picture.prompt, picture.seed, picture.width, picture.height) == (
        "a castle",
        12,
        64,
        80,
    )


def test_every_output_node_gives_its_own_pictures() -> None:
    found = comfy_graph.saves(with_node("12", SAVE) | {"13": SAVE | {"class_type": "PreviewImage"}})
    assert [save.node_id for save in found] == ["9", "12", "13"]
    assert len({save.picture for save in found}) == 3


def test_a_huge_batch_is_bounded() -> None:
    assert len(comfy_graph.saves(graph(batch_size=4096))) == comfy_graph.MAX_OUTPUTS


def test_the_hash_ignores_the_order_of_keys_and_nothing_else() -> None:
    turned = dict(reversed(graph().items()))
    assert comfy_graph.request_hash(turned) == comfy_graph.request_hash(graph())
    assert comfy_graph.request_hash(graph(seed=8)) != comfy_graph.request_hash(graph())


def test_a_negative_prompt_is_never_taken_for_the_prompt() -> None:
    detour = {"class_type": "ControlNetApply", "inputs": {"conditioning": ["6", 0]}}
    turned = with_node("14", detour)
    turned["3"] = {
        "class_type": "KSampler",
        "inputs": {"negative": ["7", 0], "positive": ["14", 0]},
    }
    (save,) = comfy_graph.saves(turned)
    assert save.picture.prompt == "a tiger"
