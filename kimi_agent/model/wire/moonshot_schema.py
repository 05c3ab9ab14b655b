"""Validator for Moonshot's JSON schema subset (tool parameters), with its error texts. Pure.

The rules are those of its own checker (MoonshotAI/walle, level "strict") and of that checker's documentation, where
the two differ the narrower one: a schema that passes here passes there. One bad schema costs the whole request.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

MAX_SCHEMA_DEPTH = 30
MAX_PROPERTY_NAMES = 3_000
MAX_ANY_OF_BRANCHES = 500
MAX_ENUM_VALUES = 1_000
MAX_SCHEMA_CHARS = 120_000
# With more choices than this, their text together must not be longer than that.
LONG_ENUM_VALUES, MAX_LONG_ENUM_CHARS = 250, 7_500

ANNOTATION_KEYWORDS = ("title", "description")
"""Keywords that are allowed beside all others."""
TYPE_KEYWORDS: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems", "uniqueItems"}),
    "string": frozenset({"enum", "default", "minLength", "maxLength", "pattern", "format"}),
    "number": frozenset(
        {"enum", "default", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
    ),
    "boolean": frozenset({"enum", "default"}),
    "null": frozenset({"enum", "default"}),
}
"""The keywords of each type (an integer's are a number's). Others are passed over, by the server and here."""
RANGE_KEYWORD_PAIRS = (("minItems", "maxItems"), ("minLength", "maxLength"), ("minimum", "maximum"))
FORBIDDEN_PROPERTY_NAMES = frozenset({"$defs", "$ref", "anyOf", "required", "additionalProperties"})

_ALL_KEYWORDS = frozenset().union(*TYPE_KEYWORDS.values())
_encode = msgspec.json.Encoder().encode


def allowed_keywords(kind: str) -> frozenset[str]:
    """The keywords allowed in a schema of this type, besides `type` and the annotations."""
    return TYPE_KEYWORDS["number" if kind == "integer" else kind]


def json_type_of(value: object) -> str:
    """The narrowest type name of a JSON value; a number too big or small to be written plainly has none ("")."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer" if abs(value) < 2**53 else ""
        case float():
            if not math.isfinite(value) or abs(value) >= 2**53 or "e" in repr(value):
                return ""
            return "integer" if value.is_integer() else "number"
        case str():
            return "string"
        case Mapping():
            return "object"
        case _:
            return "array"


def has_json_type(value: object, kind: str) -> bool:
    """Whether a JSON value is of this type."""
    found = json_type_of(value)
    return found == kind or (found == "integer" and kind == "number")


def exceeds_enum_limits(choices: list[Any]) -> bool:
    """Whether an enum of these is over a limit."""
    too_long = len(choices) > LONG_ENUM_VALUES and sum(len(str(each)) for each in choices) > MAX_LONG_ENUM_CHARS
    return too_long or len(choices) > MAX_ENUM_VALUES


def find_schema_error(schema: object) -> str:
    """Why Moonshot would refuse this schema as a tool's parameters, in its words; "" for a good one."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        return "At path 'root': the root must be an object"
    if len(_encode(schema)) > MAX_SCHEMA_CHARS:
        return "At path 'root': schema exceeds maximum allowed size"
    names = 0
    waiting: list[tuple[str, Any, int]] = [("", schema, 0)]
    while waiting:
        path, part, depth = waiting.pop()
        if not isinstance(part, dict):
            return f"At path '{path or 'root'}': schema must be an object"
        if depth > MAX_SCHEMA_DEPTH:
            return f"At path '{path}': schema depth exceeds maximum limit of {MAX_SCHEMA_DEPTH}"
        if why := _find_part_error(part, path, schema):
            return f"At path '{path or 'root'}': {why}"
        children = part.get("properties", {})
        names += len(children)
        if names > MAX_PROPERTY_NAMES:
            why = f"total number of properties keys exceeds maximum limit of {MAX_PROPERTY_NAMES}"
            return f"At path '{path or 'root'}': {why}"
        waiting += reversed(list(_walk_children(part, f"{path}." if path else "", depth)))
    return ""


def _walk_children(part: dict[str, Any], start: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    yield from ((f"{start}$defs.{name}", child, depth) for name, child in part.get("$defs", {}).items())
    yield from ((f"{start}properties.{name}", child, depth + 1) for name, child in part.get("properties", {}).items())
    yield from ((f"{start}anyOf", child, depth) for child in part.get("anyOf", ()))
    if "items" in part:
        yield f"{start}items", part["items"], depth
    if isinstance(more := part.get("additionalProperties"), dict) and more:
        yield f"{start}additionalProperties", more, depth


def _find_part_error(part: dict[str, Any], path: str, root: dict[str, Any]) -> str:
    if "$defs" in part and (path or not isinstance(part["$defs"], dict)):
        return "keyword $defs must be an object at root level"
    for key in (*ANNOTATION_KEYWORDS, "pattern", "$ref"):
        if not isinstance(part.get(key, ""), str):
            return f"{key} must be a string"
    for other, place in (("anyOf", "anyOf items"), ("$ref", "the referenced schema")):
        if other in part:
            if "type" in part:
                return f"when using {other}, type should be defined in {place} instead of the parent schema"
            if beside := sorted(_ALL_KEYWORDS & set(part)):
                return f"keyword '{beside[0]}' is not allowed at the same level as {other}"
            return _find_any_of_error(part["anyOf"]) if other == "anyOf" else _find_ref_error(part["$ref"], root)
    return _find_type_error(part)


def _find_any_of_error(branches: object) -> str:
    if not isinstance(branches, list):
        return "anyOf must be an array"
    if not 0 < len(branches) <= MAX_ANY_OF_BRANCHES:
        return f"anyOf must have 1-{MAX_ANY_OF_BRANCHES} items"
    return ""


def _find_ref_error(ref: str, root: dict[str, Any]) -> str:
    if ref != "#" and not ref.startswith("#/$defs/"):
        return "references must start with #/$defs/"
    if ref != "#" and ref.removeprefix("#/$defs/") not in root.get("$defs", {}):
        return f"invalid $ref path: {ref}"
    return ""


def _find_type_error(part: dict[str, Any]) -> str:
    kinds = part.get("type")
    if kinds is None:
        return "type is not defined"
    if isinstance(kinds, list):
        if not kinds or not all(isinstance(kind, str) and _is_type_name(kind) for kind in kinds):
            return "invalid type in type array"
        if len(kinds) > 1:
            beside = sorted(_ALL_KEYWORDS & set(part))
            return f"keyword {beside[0]} is not allowed in combination with multiple types" if beside else ""
        kinds = kinds[0]
    if not isinstance(kinds, str) or not _is_type_name(kinds):
        return "invalid type"
    if unfit := sorted((_ALL_KEYWORDS & set(part)) - allowed_keywords(kinds)):
        return f"invalid keywords: {', '.join(unfit)}"
    if why := _find_enum_error(part, kinds) or _find_range_error(part):
        return why
    return _find_object_error(part) if kinds == "object" else ""


def _is_type_name(name: str) -> bool:
    return name in TYPE_KEYWORDS or name == "integer"


def _find_enum_error(part: dict[str, Any], kind: str) -> str:
    choices = part.get("enum", [None])
    if not isinstance(choices, list):
        return "enum must be an array"
    if not choices:
        return "enum array cannot be empty"
    if exceeds_enum_limits(choices):
        return f"enum array cannot have more than {MAX_ENUM_VALUES} items"
    for choice in choices if "enum" in part else ():
        if not has_json_type(choice, kind):
            return f"enum value ({choice}) does not match any type in [{kind}]"
    return ""


def _find_range_error(part: dict[str, Any]) -> str:
    for low, high in RANGE_KEYWORD_PAIRS:
        if low in part and high in part:
            if not has_json_type(part[low], "number") or not has_json_type(part[high], "number"):
                return f"{low} and {high} must be numbers"
            if part[low] > part[high]:
                return f"{low} must not be greater than {high}"
    if "items" in part and (not isinstance(part["items"], dict) or not part["items"]):
        return "items must be an object"
    return ""


def _find_object_error(part: dict[str, Any]) -> str:
    children = part.get("properties", {})
    if not isinstance(children, dict):
        return "properties must be an object"
    for name, child in children.items():
        if name in FORBIDDEN_PROPERTY_NAMES:
            return f"property name '{name}' is reserved for JSON Schema keywords"
        if not isinstance(child, dict):
            return f"property schema for '{name}' must be an object"
    if not isinstance(part.get("additionalProperties", True), bool | dict):
        return "additionalProperties must be a boolean or an object"
    required = part.get("required", [])
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        return "required must be an array of strings"
    missing = next((name for name in required if name not in children), None)
    return "" if missing is None else f"required property '{missing}' is not defined in properties"
