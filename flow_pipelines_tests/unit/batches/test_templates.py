from __future__ import annotations

from typing import Any

import pytest

from flow_pipelines.batches.templates import Template, parse_parameter

VALUES = {"prompt": "a cat", "n": 7, "flag": True, "nothing": None, "x": 0.5, "größe": "M"}
VALUES |= {"a b": "two words", "neg-prompt": "blurry", "2nd": "second"}


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
        ("{ prompt }", "a cat"),
        ("{a b} {\ta b }", "two words two words"),
        ("{neg-prompt} {2nd}", "blurry second"),
        ('{{"a": {{"b": {n}}}}}', '{"a": {"b": 7}}'),
        ("%prompt% %s $prompt", "%prompt% %s $prompt"),
    ],
)
def test_a_template_renders_by_its_grammar(text: str, rendered: str) -> None:
    assert Template.parse(text).render(VALUES) == rendered


@pytest.mark.case(
    "`{prompt:.10}`, `{prompt` and `{ prompt }` were sent as they stand, and bought",
    "blanks around a name mean nothing; any other brace is an error with the fix",
)
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{prompt:.10}", "write {prompt}, for the text itself double the braces: '{{prompt:.10}}'"),
        ("{prompt.upper}", "write {prompt}, for the text"),
        ("{prompt!r:>9}", "write {prompt}, for the text"),
        ("{prompt['a']}", "write {prompt}, for the text"),
        ("{red|blue}", "double the braces: '{{red|blue}}'"),
        ("{%prompt%}", "only the name of a column"),
        ("{}", "only the name of a column"),
        ("{ }", "only the name of a column"),
        ('{"a": 1}', "double the braces"),
        ("a {prompt", "has a single { at character 3: a column is written {name}"),
        ("{prompt}}", "a brace that is part of the text }}"),
        ("{{prompt}", "has a single } at character 9"),
        ("{", "has a single {"),
        ("}{", "has a single }"),
    ],
)
def test_any_other_brace_is_a_fault_with_the_fix(text: str, told: str) -> None:
    assert told in (Template.parse(text).fault or "")
    assert parse_parameter({"file": text}).fault == Template.parse(text).fault


@pytest.mark.parametrize("text", ["{prompt}", "{{a}}", "{ a b }", "{{{a}}}", "}}{{", "x"])
def test_what_is_written_by_the_grammar_has_no_fault(text: str) -> None:
    assert Template.parse(text).fault is None


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
