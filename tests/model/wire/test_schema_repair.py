"""Schemas within Moonshot's rules: what is refused, what a stranger's becomes, and that ours stay as they are."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from kimi_agent.layers import Layer, built_in_root
from kimi_agent.model.wire.moonshot_schema import find_schema_error
from kimi_agent.model.wire.schema_repair import repair_schema
from kimi_agent.toolbox import load_tools

ANYTHING = {"type": ["string", "number", "boolean", "object", "array"]}


def holding(part: Any, **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"x": part}} | more


def x_of(part: Any, **more: Any) -> Any:
    """What becomes of the property x with this schema."""
    found = repair_schema(holding(part, **more))
    assert find_schema_error(found) == ""
    return found["properties"]["x"]


@pytest.mark.parametrize(
    ("part", "becomes"),
    [
        ({"enum": ["a", "b"]}, {"type": "string", "enum": ["a", "b"]}),
        ({"const": 3}, {"type": "integer", "enum": [3]}),
        ({"enum": [1, 2.5]}, {"type": "number", "enum": [1, 2.5]}),
        ({"enum": [True], "type": "string"}, {"enum": [True], "type": "boolean"}),
        ({"type": "integer", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
        ({"type": "number", "enum": [1, 2]}, {"type": "number", "enum": [1, 2]}),
        ({"enum": ["a", None]}, {"type": "string", "enum": ["a"]}),
        ({"type": ["string", "null"], "enum": ["a", None]}, {"type": "string", "enum": ["a"]}),
        ({"enum": [None]}, {"type": "null"}),
        (
            {"enum": ["a", 1], "description": "d"},
            {"description": "d", "anyOf": [{"type": "string", "enum": ["a"]}, {"type": "integer", "enum": [1]}]},
        ),
        ({"enum": [{"a": 1}], "type": "object"}, {"type": "object"}),
        ({"enum": []}, ANYTHING),
        ({"enum": list(range(1001))}, {"type": "integer"}),
        ({"enum": ["n" * 40 + str(n) for n in range(300)]}, {"type": "string"}),
        ({"properties": {}}, {"type": "object", "properties": {}}),
        ({"items": {"type": "string"}}, {"type": "array", "items": {"type": "string"}}),
        ({"minLength": 2}, {"type": "string", "minLength": 2}),
        ({"maximum": 2}, {"type": "number", "maximum": 2}),
        ({"default": 2}, {"type": "integer", "default": 2}),
        ({"description": "any"}, ANYTHING | {"description": "any"}),
        (True, ANYTHING),
        ({"type": "float"}, ANYTHING),
        ({"type": ["string", "integer"]}, {"type": ["string", "integer"]}),
        ({"type": ["integer", "null"], "minimum": 1, "default": None}, {"type": "integer", "minimum": 1}),
        (
            {"type": ["string", "integer"], "minimum": 1},
            {"anyOf": [{"type": "string"}, {"type": "integer", "minimum": 1}]},
        ),
        ({"type": "string", "minItems": 2, "default": 7, "minLength": "1"}, {"type": "string"}),
        ({"type": "string", "minLength": 5, "maxLength": 2}, {"type": "string"}),
        ({"type": "integer", "maximum": 1e300, "minimum": True}, {"type": "integer"}),
        (
            {"type": "string", "format": "uri", "$comment": "c", "examples": ["a"]},
            {"type": "string", "format": "uri"},
        ),
        ({"type": "array", "items": {}, "minItems": 1}, {"type": "array", "minItems": 1}),
        (
            {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}]},
            {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}]}},
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}], "title": "T"}, {"type": "string", "title": "T"}),
        (
            {"type": "string", "oneOf": [{"minLength": 1}, {"pattern": "a"}]},
            {"anyOf": [{"type": "string", "minLength": 1}, {"type": "string", "pattern": "a"}]},
        ),
        (
            {"anyOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]}, {"type": "string"}]},
            {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        ),
        ({"anyOf": []}, ANYTHING),
        (
            {"allOf": [{"type": "number", "minimum": 1}, {"type": "integer"}], "description": "d"},
            {"type": "integer", "minimum": 1, "description": "d"},
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "string"}, "anyOf": {"type": "string"}, "required": {}},
                "required": ["a", "b", "a", "anyOf", 3],
            },
            {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        ),
        (
            {"type": "object", "additionalProperties": {"enum": ["a"]}},
            {"type": "object", "additionalProperties": {"type": "string", "enum": ["a"]}},
        ),
        ({"type": "object", "additionalProperties": {}}, {"type": "object", "additionalProperties": {}}),
    ],
)
def test_a_part_is_rewritten_until_it_is_taken(part: Any, becomes: Any) -> None:
    found = x_of(part)
    assert json.dumps(found, sort_keys=True) == json.dumps(becomes, sort_keys=True)


@pytest.mark.parametrize("home", ["$defs", "definitions"])
def test_references_are_inlined_and_what_stands_beside_them_wins(home: str) -> None:
    defs = {"Size": {"type": "integer", "description": "theirs"}, "a/b": {"$ref": f"#/{home}/Size"}}
    assert x_of({"$ref": f"#/{home}/Size"}, **{home: defs}) == {"type": "integer", "description": "theirs"}
    beside = {"$ref": f"#/{home}/a~1b", "description": "ours", "type": "integer"}
    assert x_of(beside, **{home: defs}) == {"type": "integer", "description": "ours"}
    assert home not in repair_schema(holding({"$ref": f"#/{home}/Size"}, **{home: defs}))


def test_a_reference_that_leads_nowhere_takes_anything() -> None:
    assert x_of({"$ref": "https://example.com/schema.json", "description": "d"}) == ANYTHING | {"description": "d"}
    assert x_of({"$ref": "#/$defs/gone"}) == ANYTHING
    assert x_of({"$ref": 7}) == ANYTHING


def test_recursion_ends_at_its_second_round() -> None:
    node = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "v": {"type": "string"}}}
    assert x_of({"$ref": "#/$defs/node"}, **{"$defs": {"node": node}}) == {
        "type": "object",
        "properties": {"next": {"type": "object"}, "v": {"type": "string"}},
    }
    assert x_of({"$ref": "#"}) == {"type": "object"}
    assert x_of({"$ref": "#/$defs/a"}, **{"$defs": {"a": {"$ref": "#/$defs/a"}}}) == {"type": "object"}


@pytest.mark.parametrize(
    ("schema", "becomes"),
    [
        (None, {"type": "object", "properties": {}}),
        ({}, {"type": "object", "properties": {}}),
        ({"type": ["object", "null"]}, {"type": "object", "properties": {}}),
        ({"type": "array", "items": {}}, {"type": "object", "properties": {}}),
        (
            {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "type": "object",
                "properties": {"a": {"type": "string"}},
                "anyOf": [{"required": ["a"]}, {"properties": {"b": {"type": "integer"}}, "required": ["b"]}],
            },
            {"type": "object", "properties": {"b": {"type": "integer"}, "a": {"type": "string"}}},
        ),
        (
            {"$ref": "#/$defs/args", "$defs": {"args": {"properties": {"a": {"const": "x"}}, "required": ["a"]}}},
            {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}, "required": ["a"]},
        ),
    ],
)
def test_the_root_is_an_object_whatever_it_was(schema: Any, becomes: Any) -> None:
    assert repair_schema(schema) == becomes


def deep(levels: int, wrap: Callable[[Any], Any]) -> Any:
    found: Any = {"type": "string"}
    for _ in range(levels):
        found = wrap(found)
    return found


@pytest.mark.parametrize(
    "schema",
    [
        holding(deep(200, holding)),
        holding(deep(200, lambda inner: {"type": "array", "items": inner})),
        holding(deep(200, lambda inner: {"allOf": [inner]})),
        holding(deep(200, lambda inner: {"anyOf": [inner, {"type": "integer"}]})),
        {"type": "object", "properties": {f"p{n}": holding({"type": "string"}) for n in range(2_000)}},
        holding({"type": "string", "description": "d" * 200_000}),
        holding({"anyOf": [{"type": "string", "pattern": str(n)} for n in range(600)]}),
        # Each definition uses the next one twice: inlined whole it would have 2**40 parts.
        holding(
            {"$ref": "#/$defs/d0"},
            **{
                "$defs": {
                    f"d{n}": {
                        "type": "object",
                        "properties": {"l": {"$ref": f"#/$defs/d{n + 1}"}, "r": {"$ref": f"#/$defs/d{n + 1}"}},
                    }
                    for n in range(40)
                }
            },
        ),
    ],
    ids=["deep objects", "deep arrays", "deep allOf", "deep anyOf", "many names", "long words", "branches", "doubling"],
)
def test_limits_cut_what_is_too_much_and_never_the_request(schema: Any) -> None:
    found = repair_schema(schema)
    assert find_schema_error(found) == ""
    assert repair_schema(found) == found


def test_our_own_tools_come_out_as_the_same_bytes() -> None:
    tools, _ = load_tools([Layer("built-in", built_in_root())])
    assert len(tools) > 5
    for tool in tools.values():
        assert find_schema_error(tool.schema) == "", tool.name
        assert json.dumps(repair_schema(tool.schema)) == json.dumps(tool.schema)


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ([], "At path 'root': the root must be an object"),
        ({"type": "string"}, "At path 'root': the root must be an object"),
        (holding({"enum": ["a"]}), "At path 'properties.x': type is not defined"),
        (holding({}), "At path 'properties.x': type is not defined"),
        (holding(True), "At path 'root': property schema for 'x' must be an object"),
        (holding({"type": "array", "items": {"a": 1}}), "At path 'properties.x.items': type is not defined"),
        (holding({"type": "array", "items": []}), "At path 'properties.x': items must be an object"),
        (holding({"type": "text"}), "At path 'properties.x': invalid type"),
        (holding({"type": ["string", 3]}), "At path 'properties.x': invalid type in type array"),
        (
            holding({"type": ["string", "null"], "minLength": 1}),
            "At path 'properties.x': keyword minLength is not allowed in combination with multiple types",
        ),
        (
            holding({"type": "string", "anyOf": [{"type": "string"}]}),
            "At path 'properties.x': when using anyOf, type should be defined in anyOf items instead of the parent "
            "schema",
        ),
        (
            holding({"type": "string", "$ref": "#"}),
            "At path 'properties.x': when using $ref, type should be defined in the referenced schema instead of the "
            "parent schema",
        ),
        (holding({"anyOf": []}), "At path 'properties.x': anyOf must have 1-500 items"),
        (holding({"anyOf": {}}), "At path 'properties.x': anyOf must be an array"),
        (holding({"anyOf": [{}]}), "At path 'properties.x.anyOf': type is not defined"),
        (
            holding({"anyOf": [{"type": "string"}], "enum": ["a"]}),
            "At path 'properties.x': keyword 'enum' is not allowed at the same level as anyOf",
        ),
        (holding({"$ref": "#/definitions/a"}), "At path 'properties.x': references must start with #/$defs/"),
        (holding({"$ref": "#/$defs/a"}), "At path 'properties.x': invalid $ref path: #/$defs/a"),
        (
            holding({"type": "object", "$defs": {}}),
            "At path 'properties.x': keyword $defs must be an object at root level",
        ),
        (holding({"type": "string", "enum": []}), "At path 'properties.x': enum array cannot be empty"),
        (holding({"type": "string", "enum": "a"}), "At path 'properties.x': enum must be an array"),
        (
            holding({"type": "string", "enum": ["a", None]}),
            "At path 'properties.x': enum value (None) does not match any type in [string]",
        ),
        (
            holding({"type": "integer", "enum": list(range(1001))}),
            "At path 'properties.x': enum array cannot have more than 1000 items",
        ),
        (holding({"type": "string", "minItems": 1}), "At path 'properties.x': invalid keywords: minItems"),
        (
            holding({"type": "integer", "minimum": 2, "maximum": 1}),
            "At path 'properties.x': minimum must not be greater than maximum",
        ),
        (
            holding({"type": "integer", "minimum": "a", "maximum": 1}),
            "At path 'properties.x': minimum and maximum must be numbers",
        ),
        (holding({"type": "string", "description": 3}), "At path 'properties.x': description must be a string"),
        (
            holding({"type": "string"}, required=["y"]),
            "At path 'root': required property 'y' is not defined in properties",
        ),
        (holding({"type": "string"}, required="x"), "At path 'root': required must be an array of strings"),
        (
            {"type": "object", "properties": {"anyOf": {"type": "string"}}},
            "At path 'root': property name 'anyOf' is reserved for JSON Schema keywords",
        ),
        (
            {"type": "object", "additionalProperties": 1},
            "At path 'root': additionalProperties must be a boolean or an object",
        ),
        (deep(32, holding), "depth exceeds maximum limit of 30"),
        (
            {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(3_001)}},
            "At path 'root': total number of properties keys exceeds maximum limit of 3000",
        ),
        (holding({"type": "string", "description": "d" * 120_000}), "schema exceeds maximum allowed size"),
    ],
)
def test_what_moonshot_refuses_is_named_in_its_words(schema: Any, why: str) -> None:
    assert why in find_schema_error(schema)


@pytest.mark.parametrize(
    "part",
    [
        {"$ref": "#/$defs/a", "description": "d"},
        {"type": "string", "format": "uri", "x-own": 1},
        {"type": ["string", "null"], "title": "t"},
        {"anyOf": [{"type": "string"}, {"type": "null"}], "description": "d"},
    ],
)
def test_what_moonshot_takes_is_taken(part: Any) -> None:
    assert find_schema_error(holding(part, **{"$defs": {"a": {"type": "string"}}})) == ""


words = st.sampled_from(["string", "integer", "number", "boolean", "null", "object", "array", "any", "", "é\u2028"])
names = st.sampled_from(["a", "b", "required", "anyOf", "$ref", "additionalProperties", "c/d", "type"])
plain = st.none() | st.booleans() | st.integers() | st.floats() | words
pointers = st.sampled_from(["#", "#/$defs/a", "#/definitions/b", "#/properties/a", "#/$defs/a/anyOf/0", "http://x", ""])
KEYS = [
    "type",
    "enum",
    "const",
    "default",
    "description",
    "title",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "format",
    "minItems",
    "maxItems",
    "uniqueItems",
    "items",
    "prefixItems",
    "properties",
    "required",
    "additionalProperties",
    "anyOf",
    "oneOf",
    "allOf",
    "not",
    "$ref",
    "$id",
    "patternProperties",
    "if",
    "then",
]


def parts(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas as nobody writes them: every keyword with values that fit it, and with values that do not."""
    of_key: dict[str, st.SearchStrategy[Any]] = {
        "type": words | st.lists(words, max_size=3),
        "enum": st.lists(plain | inner, max_size=4),
        "required": st.lists(names, max_size=3),
        "properties": st.dictionaries(names, inner, max_size=3),
        "patternProperties": st.dictionaries(names, inner, max_size=1),
        "$ref": pointers,
    } | {key: st.lists(inner, max_size=3) for key in ("anyOf", "oneOf", "allOf", "prefixItems")}
    nested = ("items", "additionalProperties", "not", "if", "then")
    return st.fixed_dictionaries(
        {}, optional={key: of_key.get(key, inner if key in nested else plain) | plain for key in KEYS}
    ) | st.fixed_dictionaries({}, optional={key: of_key[key] for key in ("type", "properties", "anyOf", "$ref")})


schemas = st.recursive(plain, parts, max_leaves=12)
roots = st.fixed_dictionaries(
    {"type": st.just("object")},
    optional={
        "properties": st.dictionaries(names, schemas, max_size=4),
        "$defs": st.dictionaries(names, schemas, max_size=2),
        "definitions": st.dictionaries(names, schemas, max_size=2),
        "required": st.lists(names, max_size=3),
        "anyOf": st.lists(schemas, max_size=2),
    },
)


def check(schema: Any) -> None:
    found = repair_schema(schema)
    assert find_schema_error(found) == ""
    assert json.dumps(repair_schema(found)) == json.dumps(found)
    if not find_schema_error(schema):
        assert set(found["properties"]) == set(schema.get("properties", {}))


@settings(max_examples=40, deadline=None)
@given(roots | schemas)
@example({"properties": {"a": {"anyOf": [None], "$ref": "#/$defs/a"}}, "$defs": {"a": {"description": "x"}}})
def test_whatever_the_schema_what_is_sent_is_taken_and_stays_as_it_is(schema: Any) -> None:
    check(schema)


@pytest.mark.long
@settings(max_examples=1_000, deadline=None)
@given(roots | schemas)
def test_whatever_the_schema_what_is_sent_is_taken_and_stays_as_it_is_in_many_tries(schema: Any) -> None:
    check(schema)
