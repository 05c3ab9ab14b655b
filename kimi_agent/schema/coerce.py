"""Coercion of a model's JSON values to the types that a tool's function declares.

It is forgiving in form, strict in meaning: `"12"` is 12, `"twelve"` is an error.
"""

import math
import types
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin, get_type_hints, is_typeddict

from kimi_agent.schema.parse_arguments import parse_arguments


@dataclass(frozen=True)
class Field:
    """A parameter's description for the model, and the range (inclusive) that a number must lie in."""

    description: str
    minimum: float | None = None
    maximum: float | None = None


def coerce_value(value: Any, kind: Any, where: str, field: Field | None = None) -> Any:
    """`value` as `kind`, forgiving in form. Raises ValueError that names `where`."""
    if get_origin(kind) is Literal:
        return _choice(value, get_args(kind), where)
    if get_origin(kind) is list:
        return [
            coerce_value(each, unwrap_optional(get_args(kind)[0]), f"{where}[{place}]")
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
            value = parse_arguments(text)
        except (ValueError, RecursionError):
            return [value]
    if isinstance(value, list):
        return value
    raise ValueError(f"{where!r} must be an array, not {type(value).__name__}")


def _mapped(value: Any, kind: Any, where: str) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = parse_arguments(value)
        except (ValueError, RecursionError):
            raise ValueError(f"{where!r} must be an object") from None
    if not isinstance(value, dict):
        raise ValueError(f"{where!r} must be an object, not {type(value).__name__}")
    found: dict[str, Any] = {}
    for name, (hint, required) in typed_dict_fields(kind).items():
        if value.get(name) is not None:
            found[name] = coerce_value(value[name], hint, f"{where}.{name}")
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


def unwrap_optional(hint: Any) -> Any:
    """The one type of a parameter that may also be None. Raises TypeError for any other union."""
    if get_origin(hint) in (Union, types.UnionType):
        rest = [each for each in get_args(hint) if each is not type(None)]
        if len(rest) == 1:
            return rest[0]
        raise TypeError(f"a parameter has one type (Moonshot takes no unions): {hint}")
    return hint


def typed_dict_fields(kind: Any) -> dict[str, tuple[Any, bool]]:
    """The type of each field of a TypedDict, and whether it is required."""
    fields: dict[str, tuple[Any, bool]] = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        required = name in kind.__required_keys__
        if get_origin(hint) in (NotRequired, Required):
            hint = get_args(hint)[0]
        fields[name] = (unwrap_optional(hint), required)
    return fields
