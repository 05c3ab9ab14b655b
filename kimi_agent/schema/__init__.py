"""Tool schema of a typed function's signature, and the model's arguments read against it.

The schema stays within Moonshot's subset of JSON schema (`model/wire/moonshot_schema.py` checks it): a flat object, a
`type` on every subschema, no unions. Reading is forgiving in form and strict in meaning: `"12"` is 12, null is absent,
a JSON array in a string is that array, `file_path` is `path`; a wrong value is an error that shows how to call.
"""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints, is_typeddict

from kimi_agent.errors import ToolError
from kimi_agent.schema.coerce import Field, coerce_value, typed_dict_fields, unwrap_optional
from kimi_agent.schema.parse_arguments import is_cut_off, parse_arguments

__all__ = ["TOOL_NAME", "Field", "ToolSignature"]

TOOL_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{2,63}")
"""A tool's name, as Moonshot takes it."""
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

# What models call these parameters when they were trained on other agents' tools.
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
class _Parameter:
    name: str
    kind: Any
    field: Field
    required: bool
    schema: Mapping[str, Any]


class ToolSignature:
    """The parameters of one tool. Raises TypeError for a function that cannot be described to a model."""

    def __init__(self, name: str, function: Callable[..., Any]) -> None:
        if not TOOL_NAME.fullmatch(name):
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

        Raises ToolError (bad_arguments) that names what is wrong and shows the parameters with one example call, or
        (truncated) for arguments that end in the middle.
        """
        given = self._object(raw)
        arguments: dict[str, Any] = {}
        for parameter in self._parameters:
            value = self._take(given, parameter.name)
            if value is not None:
                try:
                    arguments[parameter.name] = coerce_value(value, parameter.kind, parameter.name, parameter.field)
                except ValueError as error:
                    raise self._bad(str(error)) from None
            elif parameter.required:
                raise self._bad(f"{parameter.name!r} is missing")
        return arguments, sorted(given)

    def _object(self, raw: str) -> dict[str, Any]:
        if not raw.strip():
            return {}
        try:
            value = parse_arguments(raw)
            if isinstance(value, str):  # encoded twice
                raw = value
                value = parse_arguments(raw)
        except (ValueError, RecursionError) as error:
            if is_cut_off(raw):
                raise self._cut(len(raw)) from None
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

    def _cut(self, at: int) -> ToolError:
        cut = f"the arguments were cut off at character {at:,}, most likely by the output limit"
        mend = "send it in smaller pieces, for example a long text in several calls"
        return ToolError("truncated", f"{self.name}: nothing ran: {cut}", mend)

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
    kind = unwrap_optional(hint)
    schema = {**_schema(kind), "description": field.description}
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    if field.maximum is not None:
        schema["maximum"] = field.maximum
    required = parameter.default is inspect.Parameter.empty
    if not required and parameter.default not in (None, "", ()):
        schema["default"] = parameter.default
    return _Parameter(parameter.name, kind, field, required, schema)


_SIMPLE: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}


def _schema(kind: Any) -> dict[str, Any]:
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if get_origin(kind) is Literal and all(isinstance(choice, str) for choice in get_args(kind)):
        return {"type": "string", "enum": list(get_args(kind))}
    if get_origin(kind) is list:
        return {"type": "array", "items": _schema(unwrap_optional(get_args(kind)[0]))}
    if is_typeddict(kind):
        fields = typed_dict_fields(kind)
        return {
            "type": "object",
            "properties": {name: _schema(hint) for name, (hint, _) in fields.items()},
            "required": [name for name, (_, required) in fields.items() if required],
        }
    raise TypeError(f"a tool parameter cannot be of type {kind}")


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
