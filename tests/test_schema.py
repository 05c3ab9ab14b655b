"""A function's signature as a schema, and what a model may write against it."""

import json
from typing import Annotated, Any, Literal, TypedDict

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.schema import Field, ToolSignature


class Item(TypedDict):
    step: str
    status: Literal["pending", "done"]


async def sample(
    ctx: object,
    path: Annotated[str, Field("Where.")],
    limit: Annotated[int, Field("How many.", minimum=1, maximum=50)] = 20,
    mode: Annotated[Literal["content", "files"], Field("What to show.")] = "content",
    all_of_it: Annotated[bool, Field("Everything.")] = False,
    names: Annotated[list[str] | None, Field("Only these.")] = None,
    items: Annotated[list[Item] | None, Field("The plan.")] = None,
    share: Annotated[float | None, Field("A part of one.")] = None,
) -> str:
    """Do something."""
    return ""


SAMPLE = ToolSignature("sample", sample)


def test_the_schema_is_flat_typed_and_described() -> None:
    assert SAMPLE.schema == {
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "Where."},
            "limit": {"type": "integer", "description": "How many.", "minimum": 1, "maximum": 50, "default": 20},
            "mode": {
                "type": "string",
                "enum": ["content", "files"],
                "description": "What to show.",
                "default": "content",
            },
            "all_of_it": {"type": "boolean", "description": "Everything.", "default": False},
            "names": {"type": "array", "items": {"type": "string"}, "description": "Only these."},
            "items": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "step": {"type": "string"},
                        "status": {"type": "string", "enum": ["pending", "done"]},
                    },
                    "required": ["step", "status"],
                },
                "description": "The plan.",
            },
            "share": {"type": "number", "description": "A part of one."},
        },
        "required": ["path"],
    }


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ('{"path": "a"}', {"path": "a"}),
        ('{"path": " a "}', {"path": "a"}),
        ('{"file_path": "a"}', {"path": "a"}),
        ('{"filePath": "a"}', {"path": "a"}),
        ('{"path": "a", "limit": "12"}', {"path": "a", "limit": 12}),
        ('{"path": "a", "limit": 12.0}', {"path": "a", "limit": 12}),
        ('{"path": "a", "limit": null}', {"path": "a"}),
        ('{"path": "a", "all_of_it": "true"}', {"path": "a", "all_of_it": True}),
        ('{"path": "a", "all_of_it": "False"}', {"path": "a", "all_of_it": False}),
        ('{"path": "a", "mode": " FILES "}', {"path": "a", "mode": "files"}),
        ('{"path": "a", "names": "[\\"x\\", \\"y\\"]"}', {"path": "a", "names": ["x", "y"]}),
        ('{"path": "a", "names": "x"}', {"path": "a", "names": ["x"]}),
        ('{"path": 7}', {"path": "7"}),
        ('{"path": "a", "share": 1}', {"path": "a", "share": 1.0}),
        ('"{\\"path\\": \\"a\\"}"', {"path": "a"}),
        ('{"path": "a\tb"}', {"path": "a\tb"}),
        (
            json.dumps({"path": "a", "items": json.dumps([{"step": "x", "status": "done"}])}),
            {"path": "a", "items": [{"step": "x", "status": "done"}]},
        ),
        (
            json.dumps({"path": "a", "items": [json.dumps({"step": "x", "status": "done"})]}),
            {"path": "a", "items": [{"step": "x", "status": "done"}]},
        ),
        (
            json.dumps(json.dumps({"path": "a", "items": json.dumps({"step": "x", "status": "done"})})),
            {"path": "a", "items": [{"step": "x", "status": "done"}]},
        ),
        (
            '{"path": "a", "todos": [{"step": "x", "status": "DONE", "id": 3}]}',
            {"path": "a", "items": [{"step": "x", "status": "done"}]},
        ),
    ],
)
def test_arguments_are_read_forgivingly(raw: str, expected: dict[str, Any]) -> None:
    assert SAMPLE.read(raw) == (expected, [])


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        ("", "'path' is missing"),
        ("{}", "'path' is missing"),
        ("[1]", "one JSON object, not list"),
        ("null", "one JSON object, not NoneType"),
        ("{path: 'a'}", "not valid JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ('{"path": "a"} trailing', "not valid JSON: Extra data: line 1 column 15 (char 14)"),
        ('{"path": "a"}{"path": "a"}', "not valid JSON: Extra data: line 1 column 14 (char 13)"),
        ('{"path": "a"]', "not valid JSON: Expecting ',' delimiter: line 1 column 13 (char 12)"),
        ('{"path": "a", "b": \'x', "not valid JSON: Expecting value: line 1 column 20 (char 19)"),
        ('{"path": "a", "path": "b"}', "the key 'path' stands twice in one object (char 14)"),
        (json.dumps('{"path": "a", "path": "b"}'), "the key 'path' stands twice in one object (char 14)"),
        ('{"path": {}}', "'path' must be a string"),
        ('{"path": "a", "limit": "many"}', "'limit' must be a number"),
        ('{"path": "a", "limit": 1.5}', "'limit' must be a whole number"),
        ('{"path": "a", "limit": 0}', "'limit' must be at least 1"),
        ('{"path": "a", "limit": 51}', "'limit' must be at most 50"),
        ('{"path": "a", "limit": true}', "'limit' must be a number"),
        ('{"path": "a", "share": NaN}', "NaN is not JSON (char 23)"),
        ('{"path": "NaN", "share": -Infinity}', "-Infinity is not JSON (char 25)"),
        ('{"path": "a", "share": "inf"}', "'share' must be a finite number"),
        ('{"path": "a", "limit": ' + "9" * 5000 + "}", "not valid JSON: a number of 5,000 digits"),
        ('{"path": "a", "mode": "rows"}', "'mode' must be one of content, files"),
        ('{"path": "a", "all_of_it": "perhaps"}', "'all_of_it' must be true or false"),
        ('{"path": "a", "names": 3}', "'names' must be an array"),
        ('{"path": "a", "items": [{"step": "x"}]}', "items[0].status is missing"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_wrong_argument_is_named_and_the_call_is_shown(raw: str, why: str) -> None:
    with pytest.raises(ToolError) as caught:
        SAMPLE.read(raw)
    assert caught.value.code == "bad_arguments"
    assert why in str(caught.value)
    assert "path: string - Where." in str(caught.value)
    assert 'Next: call sample again, for example with {"path": "..."}' in str(caught.value)


WHOLE = json.dumps(
    {
        "path": 'a "quoted" \\ name\nü',
        "limit": 12,
        "share": -1.5e3,
        "all_of_it": True,
        "names": ["x", "[{"],
        "items": [],
    },
    ensure_ascii=True,
)


def test_arguments_cut_at_any_character_are_told_and_never_run() -> None:
    for raw in (WHOLE, WHOLE.replace("\\u00fc", "ü"), json.dumps(WHOLE)):
        for end in range(1, len(raw)):
            with pytest.raises(ToolError) as caught:
                SAMPLE.read(raw[:end])
            assert caught.value.code == "truncated", raw[:end]
            assert f"nothing ran: the arguments were cut off at character {end:,}, most likely" in str(caught.value)
            assert "Next: send it in smaller pieces" in str(caught.value)


def test_a_long_text_that_was_cut_is_told_soon() -> None:
    with pytest.raises(ToolError, match="cut off at character 800,010,"):
        SAMPLE.read('{"path": "' + "\\n x" * 200_000)


def test_arguments_cut_before_they_were_encoded_again_are_told_too() -> None:
    with pytest.raises(ToolError, match="cut off at character 11,") as caught:
        SAMPLE.read(json.dumps('{"path": "a'))
    assert caught.value.code == "truncated"


def test_unknown_names_are_told_not_taken() -> None:
    assert SAMPLE.read(json.dumps({"path": "a", "colour": "red", "b": 1})) == ({"path": "a"}, ["b", "colour"])


def test_an_alias_never_takes_the_place_of_a_real_parameter() -> None:
    async def both(ctx: object, path: Annotated[str, Field("x")], file: Annotated[str, Field("y")]) -> str:
        return ""

    assert ToolSignature("both", both).read('{"file": "f", "path": "p"}')[0] == {"path": "p", "file": "f"}


@pytest.mark.parametrize("hint", [dict, str | int, list[dict[str, int]], Literal[1, 2], bytes])
def test_a_type_that_moonshot_does_not_take_is_refused_at_load(hint: Any) -> None:
    async def bad(ctx: Any, value: Any) -> str:
        return ""

    bad.__annotations__ = {"value": Annotated[hint, Field("x")]}
    with pytest.raises(TypeError):
        ToolSignature("bad", bad)


def test_a_parameter_without_words_and_a_name_out_of_form_are_refused_at_load() -> None:
    async def silent(ctx: object, path: str) -> str:
        return path

    with pytest.raises(TypeError, match="path"):
        ToolSignature("silent", silent)
    with pytest.raises(TypeError, match="3 to 64"):
        ToolSignature("a b", sample)
