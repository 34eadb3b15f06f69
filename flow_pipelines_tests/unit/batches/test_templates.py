from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.batches.templates import Template, parse_parameter

VALUES = {"prompt": "a cat", "n": 7, "flag": True, "nothing": None, "x": 0.5, "größe": "M"}


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("", ""),
        ("plain", "plain"),
        ("photo of {prompt}, {n} times", "photo of a cat, 7 times"),
        ("{flag} {nothing}|{x}", "true |0.5"),
        ("{größe}{größe}", "MM"),
        ("{{prompt}}", "{prompt}"),
        ("{{{prompt}}}", "{a cat}"),
        ("{{{{", "{{"),
        ("{prompt}}", "a cat}"),
        ("{{prompt}", "{prompt}"),
        ("{", "{"),
        ("}{", "}{"),
        ("{}", "{}"),
        ("{0}", "{0}"),
        ("{a b}", "{a b}"),
        ("{prompt.upper}", "{prompt.upper}"),
        ("{prompt!r:>9}", "{prompt!r:>9}"),
        ("{ prompt }", "{ prompt }"),
        ('{"a": {"b": 1} }', '{"a": {"b": 1} }'),
        ("{%prompt%} %s $prompt", "{%prompt%} %s $prompt"),
    ],
)
def test_a_template_renders_by_its_grammar(text: str, rendered: str) -> None:
    assert Template.parse(text).render(VALUES) == rendered


@pytest.mark.parametrize(("name", "value"), list(VALUES.items()))
def test_exactly_one_column_keeps_value_and_type(name: str, value: Any) -> None:
    rendered = Template.parse(f"{{{name}}}").render(VALUES)
    assert rendered is value


def test_one_column_and_anything_else_is_text() -> None:
    assert Template.parse("{n} ").render(VALUES) == "7 "
    assert Template.parse("{n}{n}").render(VALUES) == "77"


def test_columns_are_named_once_in_order_of_appearance() -> None:
    assert Template.parse("{b} {a} {b} {{c}}").columns == ("b", "a")


def test_a_column_without_a_value_is_an_error_and_not_an_empty_text() -> None:
    with pytest.raises(KeyError, match="absent"):
        Template.parse("a {absent}").render(VALUES)


@pytest.mark.parametrize("value", [768, 0.5, True, None, ["{prompt}"], {"a": "{prompt}"}])
def test_only_text_is_a_template(value: Any) -> None:
    parameter = parse_parameter(value)
    assert parameter.render(VALUES) is value
    assert parameter.columns == ()
