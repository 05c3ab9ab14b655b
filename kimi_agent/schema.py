"""A typed function's signature as a tool schema, and a model's arguments read against it.

The schema stays within Moonshot's subset of JSON schema (kimi-api.md §3 "Tool definitions"): a flat object, a `type` on
every subschema, no unions. Reading is forgiving in form and strict in meaning: `"12"` is 12, null is absent, a JSON
array in a string is that array, `file_path` is `path`; a wrong value is an error that shows how to call.
"""

import inspect
import json
import math
import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from kimi_agent.errors import ToolError

_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{2,63}")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# What models call these parameters when they were trained on other agents' tools (edit-tools.md §3.0).
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "path": ("file_path", "filepath", "filename", "file", "target_file", "directory", "dir"),
    "command": ("cmd", "script"),
    "pattern": ("query", "regex"),
    "content": ("contents", "text", "file_text"),
    "patch": ("input", "diff"),
    "old_string": ("old_str", "old_text", "old"),
    "new_string": ("new_str", "new_text", "new"),
    "items": ("todos", "plan", "steps"),
    "targets": ("paths", "files", "tests", "test_files"),
    "timeout_s": ("timeout",),
    "offset": ("start_line", "line"),
}


@dataclass(frozen=True)
class Field:
    """What the model is told of a parameter, and the range (inclusive) that a number is held to."""

    description: str
    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class _Parameter:
    name: str
    kind: Any
    field: Field
    required: bool
    schema: Mapping[str, Any]


class Signature:
    """The parameters of one tool. Raises TypeError for a function that cannot be described to a model."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        if not _NAME.fullmatch(name):
            raise TypeError(f"a tool's name is 3 to 64 letters, digits, _ or -: {name!r}")
        self.name = name
        hints = get_type_hints(function, include_extras=True)
        self._parameters = tuple(
            _parameter(parameter, hints.get(parameter.name, str))
            for parameter in list(inspect.signature(function).parameters.values())[1:]
        )
        required = [each.name for each in self._parameters if each.required]
        self.schema: dict[str, Any] = {
            "type": "object",
            "properties": {each.name: dict(each.schema) for each in self._parameters},
        }
        if required:
            self.schema["required"] = required

    def read(self, raw: str) -> tuple[dict[str, Any], list[str]]:
        """The arguments for the function, defaults left out, and the names nobody knows.

        Raises ToolError (bad_arguments) that names what is wrong and shows the parameters with one example call.
        """
        given = self._object(raw)
        arguments: dict[str, Any] = {}
        for parameter in self._parameters:
            value = self._take(given, parameter.name)
            if value is not None:
                try:
                    arguments[parameter.name] = _coerce(value, parameter.kind, parameter.name, parameter.field)
                except ValueError as error:
                    raise self._bad(str(error)) from None
            elif parameter.required:
                raise self._bad(f"{parameter.name!r} is missing")
        return arguments, sorted(given)

    def _object(self, raw: str) -> dict[str, Any]:
        if not raw.strip():
            return {}
        try:
            value = _parse(raw)
            if isinstance(value, str):  # encoded twice
                value = _parse(value)
        except (ValueError, RecursionError) as error:
            why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
            raise self._bad(f"the arguments are not valid JSON: {why}") from None
        if not isinstance(value, dict):
            raise self._bad(f"the arguments must be one JSON object, not {type(value).__name__}")
        return value

    def _take(self, given: dict[str, Any], name: str) -> Any:
        for spelling in (name, *_ALIASES.get(name, ())):
            for key in list(given):
                if (key == spelling or _WORD.sub("_", key).lower() == spelling) and (
                    spelling == name or not any(spelling == each.name for each in self._parameters)
                ):
                    value = given.pop(key)
                    if value is not None:
                        return value
        return None

    def _bad(self, why: str) -> ToolError:
        lines = [
            f"  {each.name}{'' if each.required else '?'}: {_shown(each.schema)} - {each.field.description}"
            for each in self._parameters
        ]
        example = {each.name: _example(each.schema) for each in self._parameters if each.required}
        parameters = "\n".join(lines) or "  (none)"
        return ToolError(
            "bad_arguments",
            f"{self.name}: {why}\nParameters:\n{parameters}",
            f"call {self.name} again, for example with {json.dumps(example, ensure_ascii=False)}",
        )


def _parameter(parameter: inspect.Parameter, hint: Any) -> _Parameter:
    field: Field | None = None
    if get_origin(hint) is Annotated:
        hint, *extras = get_args(hint)
        field = next((extra for extra in extras if isinstance(extra, Field)), None)
    if field is None or not field.description:
        raise TypeError(f"parameter {parameter.name!r} needs Annotated[type, Field('what it is')]")
    kind = _without_none(hint)
    schema = {**_schema(kind), "description": field.description}
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    if field.maximum is not None:
        schema["maximum"] = field.maximum
    required = parameter.default is inspect.Parameter.empty
    if not required and parameter.default not in (None, "", ()):
        schema["default"] = parameter.default
    return _Parameter(parameter.name, kind, field, required, schema)


def _without_none(hint: Any) -> Any:
    if get_origin(hint) in (Union, types.UnionType):
        rest = [each for each in get_args(hint) if each is not type(None)]
        if len(rest) == 1:
            return rest[0]
        raise TypeError(f"a parameter has one type (Moonshot takes no unions): {hint}")
    return hint


_SIMPLE: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _schema(kind: Any) -> dict[str, Any]:
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if get_origin(kind) is Literal and all(isinstance(choice, str) for choice in get_args(kind)):
        return {"type": "string", "enum": list(get_args(kind))}
    if get_origin(kind) is list:
        return {"type": "array", "items": _schema(_without_none(get_args(kind)[0]))}
    if is_typeddict(kind):
        fields = _typed_dict(kind)
        return {
            "type": "object",
            "properties": {name: _schema(hint) for name, (hint, _) in fields.items()},
            "required": [name for name, (_, required) in fields.items() if required],
        }
    raise TypeError(f"a tool parameter cannot be of type {kind}")


def _typed_dict(kind: Any) -> dict[str, tuple[Any, bool]]:
    fields: dict[str, tuple[Any, bool]] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        required = name in kind.__required_keys__
        if get_origin(hint) in (NotRequired, Required):
            hint = get_args(hint)[0]
        fields[name] = (_without_none(hint), required)
    return fields


def _parse(text: str) -> Any:
    def no_constant(word: str) -> Any:
        raise ValueError(f"{word} is not JSON")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key stands twice in one object")
        return found

    # strict=False: Kimi writes raw control characters into strings (kimi-api.md §4).
    return json.loads(text, strict=False, parse_constant=no_constant, object_pairs_hook=unique)


def _coerce(value: Any, kind: Any, where: str, field: Field | None = None) -> Any:
    """`value` as `kind`, forgiving in form. Raises ValueError that names `where`."""
    if get_origin(kind) is Literal:
        return _choice(value, get_args(kind), where)
    if get_origin(kind) is list:
        return [
            _coerce(each, _without_none(get_args(kind)[0]), f"{where}[{place}]")
            for place, each in enumerate(_listed(value, where))
        ]
    if is_typeddict(kind):
        return _mapped(value, kind, where)
    if kind is str:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise ValueError(f"{where!r} must be a string, not {type(value).__name__}")
        return value.strip() if where == "path" else value
    if kind is bool:
        return _truth(value, where)
    return _number(value, kind, where, field)


def _choice(value: Any, choices: tuple[Any, ...], where: str) -> str:
    word = str(value).strip()
    for choice in choices:
        if word.lower() == str(choice).lower():
            return str(choice)
    raise ValueError(f"{where!r} must be one of {', '.join(choices)}; not {word[:40]!r}")


def _listed(value: Any, where: str) -> list[Any]:
    if isinstance(value, str):
        text = value.strip()
        if not text.startswith("["):
            return [value]
        try:
            value = _parse(text)
        except (ValueError, RecursionError):
            return [value]
    if isinstance(value, list):
        return value
    raise ValueError(f"{where!r} must be an array, not {type(value).__name__}")


def _mapped(value: Any, kind: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = _parse(value)
        except (ValueError, RecursionError):
            raise ValueError(f"{where!r} must be an object") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where!r} must be an object, not {type(value).__name__}")
    found: dict[str, Any] = {}
    for name, (hint, required) in _typed_dict(kind).items():
        if value.get(name) is not None:
            found[name] = _coerce(value[name], hint, f"{where}.{name}")
        elif required:
            raise ValueError(f"{where}.{name} is missing")
    return found


def _truth(value: Any, where: str) -> bool:
    word = str(value).strip().lower()
    if word in ("true", "1", "yes"):
        return True
    if word in ("false", "0", "no"):
        return False
    raise ValueError(f"{where!r} must be true or false, not {word[:40]!r}")


def _number(value: Any, kind: Any, where: str, field: Field | None) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise ValueError(f"{where!r} must be a number, not {type(value).__name__}")
    try:
        number = float(value)
        found: float = int(value) if kind is int and not isinstance(value, float) and _whole(value) else number
    except (ValueError, OverflowError):
        raise ValueError(f"{where!r} must be a number, not {str(value)[:40]!r}") from None
    if not math.isfinite(found):
        raise ValueError(f"{where!r} must be a finite number")
    if kind is int:
        if found != int(found):
            raise ValueError(f"{where!r} must be a whole number, not {str(value)[:40]}")
        found = int(found)
    if field is not None and field.minimum is not None and found < field.minimum:
        raise ValueError(f"{where!r} must be at least {field.minimum:g}")
    if field is not None and field.maximum is not None and found > field.maximum:
        raise ValueError(f"{where!r} must be at most {field.maximum:g}")
    return found


def _whole(value: int | str) -> bool:
    return isinstance(value, int) or value.strip().lstrip("+-").isdigit()


def _shown(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "|".join(schema["enum"])
    if schema["type"] == "array":
        return f"array of {_shown(schema['items'])}"
    if schema["type"] == "object":
        return "{" + ", ".join(f"{name}: {_shown(each)}" for name, each in schema["properties"].items()) + "}"
    return str(schema["type"])


def _example(schema: Mapping[str, Any]) -> Any:
    if "enum" in schema:
        return schema["enum"][0]
    match schema["type"]:
        case "array":
            return [_example(schema["items"])]
        case "object":
            return {name: _example(each) for name, each in schema["properties"].items()}
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case _:
            return "..."
