"""Schema repair: rewrites any tool's JSON schema until Moonshot accepts it. Pure.

Our own tools are written within Moonshot's rules and come out as the same bytes. A stranger's (an MCP server's, a
plug-in's) may hold all of JSON schema; one schema that is not taken would cost the whole request, so whatever cannot
be written within the rules is written less exactly: the tool itself still checks what it is given.
"""

import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from kimi_agent.model.wire import moonshot_schema
from kimi_agent.model.wire.moonshot_schema import ANNOTATION_KEYWORDS, TYPE_KEYWORDS, has_json_type, json_type_of

_EMPTY_SCHEMA: Mapping[str, Any] = {"type": "object", "properties": {}}
_ANYTHING = ("string", "number", "boolean", "object", "array")
_MAX_NODES = 5_000
# Each is tried where the one before leaves a schema over a limit of size. Moonshot takes 30.
_DEPTHS = (28, 8, 4, 2, 1)
_BOUNDS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems"})
_TYPE_HINTS: Mapping[str, frozenset[str]] = {
    "object": TYPE_KEYWORDS["object"] | {"patternProperties", "propertyNames", "minProperties", "maxProperties"},
    "array": TYPE_KEYWORDS["array"] | {"prefixItems", "contains"},
    "string": TYPE_KEYWORDS["string"] - {"enum", "default"},
    "number": _BOUNDS,
}
"""The keywords that show the type of a schema that names none."""


def repair_schema(schema: object) -> dict[str, Any]:
    """`schema` within Moonshot's rules: an object, references inlined, every part typed. Never raises."""
    if isinstance(schema, Mapping):
        for deepest in _DEPTHS:
            found = _SchemaRepair(schema, deepest).root()
            if not moonshot_schema.find_schema_error(found):
                return found
    return dict(_EMPTY_SCHEMA)


class _SchemaRepair:
    """One pass over one schema. What lies deeper than `deepest`, or past `_MAX_NODES`, keeps its type alone."""

    def __init__(self, root: Mapping[str, Any], deepest: int) -> None:
        self._root = root
        self._deepest = deepest
        self._left = _MAX_NODES

    def root(self) -> dict[str, Any]:
        """The root is an object whatever it says: what its branches would take is taken, and nothing demanded."""
        flat, seen = self._flat(self._root, frozenset({"#"}), 0)
        for branch in _listed(flat.pop("anyOf", None)):
            more, also = self._flat(branch, seen, 1)
            seen |= also
            flat["properties"] = {**_mapping(more.get("properties")), **_mapping(flat.get("properties"))}
        flat["type"] = "object"
        found = self._typed(flat, "object", 0, seen)
        return found if "properties" in found else {**found, "properties": {}}

    def node(self, raw: object, depth: int, seen: frozenset[str]) -> dict[str, Any]:
        """One part of the schema; `seen` are the references that led here, so that none is followed twice."""
        flat, seen = self._flat(raw, seen, depth)
        if depth >= self._deepest or self._left < 0:
            kinds = _kinds(flat)
            return _annotations(flat) | {"type": kinds[0] if len(kinds) == 1 else "object"}
        if branches := _listed(flat.pop("anyOf", None)):
            return self._any_of(flat, branches, depth, seen)
        kinds = _kinds(flat)
        if len(kinds) == 1:
            return self._typed(flat, kinds[0], depth, seen)
        own = {key: value for key, value in flat.items() if key not in (*ANNOTATION_KEYWORDS, "type", "default")}
        typed = [self._typed(own, kind, depth + 1, seen) for kind in kinds]
        if all(len(each) == 1 for each in typed):
            return _annotations(flat) | {"type": list(kinds)}
        return _annotations(flat) | {"anyOf": typed}

    def _flat(self, raw: object, seen: frozenset[str], depth: int) -> tuple[dict[str, Any], frozenset[str]]:
        """`raw` without $ref, allOf, oneOf and const at its top, and the references that were followed for it."""
        self._left -= 1
        flat = dict(_mapping(raw))
        if "$ref" in flat:
            ref = str(flat.pop("$ref"))
            target = _resolve_pointer(self._root, ref)
            if ref in seen:
                kinds = _kinds(_mapping(target))
                flat = _merge_schemas({"type": kinds[0] if len(kinds) == 1 else "object"}, flat)
            else:
                inner, seen = self._flat(target, seen | {ref}, depth)
                flat = _merge_schemas(inner, flat)
        for part in _listed(flat.pop("allOf", None)):
            if depth >= self._deepest or self._left < 0:
                break
            inner, also = self._flat(part, seen, depth + 1)
            seen |= also
            flat = _merge_schemas(flat, inner)
        if "const" in flat:
            flat["enum"] = [flat.pop("const")]
        if "oneOf" in flat:
            flat.setdefault("anyOf", flat.pop("oneOf"))
        return flat, seen

    def _any_of(self, flat: Mapping[str, Any], branches: list[Any], depth: int, seen: frozenset[str]) -> dict[str, Any]:
        """What is beside the branches moves into each; null is what is absent; one branch needs no anyOf."""
        beside = {key: value for key, value in flat.items() if key not in ANNOTATION_KEYWORDS and key != "default"}
        found: list[dict[str, Any]] = []
        for branch in branches[: moonshot_schema.MAX_ANY_OF_BRANCHES]:
            inner, also = self._flat(branch, seen, depth + 1)
            each = self.node(_merge_schemas(beside, inner), depth + 1, seen | also)
            found += [new for new in (each["anyOf"] if set(each) == {"anyOf"} else [each]) if new not in found]
        found = [each for each in found if each.get("type") != "null"] or found
        if len(found) == 1:
            own = _annotations(flat)  # first, as everywhere else: a second repair must give the same bytes
            return {**own, **found[0], **own}
        return _annotations(flat) | {"anyOf": found[: moonshot_schema.MAX_ANY_OF_BRANCHES]}

    def _typed(self, flat: Mapping[str, Any], kind: str, depth: int, seen: frozenset[str]) -> dict[str, Any]:
        """A schema of one type: of the keywords those that fit it, in their order."""
        names: dict[str, Any] = {}
        if kind == "object":
            children = _mapping(flat.get("properties")).items()
            forbidden = moonshot_schema.FORBIDDEN_PROPERTY_NAMES
            names = {name: self.node(child, depth + 1, seen) for name, child in children if name not in forbidden}
        found: dict[str, Any] = {} if "type" in flat else {"type": kind}
        fitting = moonshot_schema.allowed_keywords(kind)
        for key, value in flat.items():
            kept: Any = None
            if key == "type":
                kept = kind
            elif key in ANNOTATION_KEYWORDS:
                kept = value if isinstance(value, str) else None
            elif key == "properties" and key in fitting:
                kept = names
            elif key == "required" and key in fitting:
                kept = _required(value, names)
            elif key in ("items", "prefixItems") and kind == "array":
                key, kept = "items", self._items(flat, depth, seen)
            elif key == "additionalProperties" and key in fitting:
                kept = value if isinstance(value, bool) or value == {} else self.node(value, depth + 1, seen)
            elif key in fitting:
                kept = _fitting_value(key, value, kind)
            if kept is not None:
                found[key] = kept
        return _drop_empty_ranges(found)

    def _items(self, flat: Mapping[str, Any], depth: int, seen: frozenset[str]) -> dict[str, Any] | None:
        """The schema of the items; places with a schema of their own become "any of these"."""
        items = flat.get("items")
        places = _listed(items) or _listed(flat.get("prefixItems"))
        if places:
            return self.node({"anyOf": places}, depth + 1, seen)
        return self.node(items, depth + 1, seen) if _mapping(items) else None


def _kinds(flat: Mapping[str, Any]) -> tuple[str, ...]:
    """The types that a schema allows: those of its choices, else those it says, else what its keywords show."""
    given = flat.get("type")
    names = [given] if isinstance(given, str) else _listed(given)
    kinds = [name for name in names if isinstance(name, str) and (name in TYPE_KEYWORDS or name == "integer")]
    if choices := _choices(flat.get("enum")):
        of_choices = [json_type_of(each) for each in choices]
        if "number" in kinds or "number" in of_choices:
            of_choices = ["number" if each == "integer" else each for each in of_choices]
        kinds = [each for each in of_choices if each in kinds] or of_choices
    if not kinds:
        kinds = [kind for kind, hints in _TYPE_HINTS.items() if hints & set(flat)][:1]
    if not kinds and flat.get("default") is not None:
        kinds = [json_type_of(flat["default"])]
    if "number" in kinds:
        kinds = [each for each in kinds if each != "integer"]
    kinds = [each for each in dict.fromkeys(kinds) if each]
    return tuple(each for each in kinds if each != "null") or tuple(kinds) or _ANYTHING


def _choices(enum: object) -> list[Any]:
    """The choices of an enum that can be offered: plain values."""
    return [each for each in _listed(enum) if json_type_of(each) not in ("", "object", "array")]


def _fitting_value(key: str, value: Any, kind: str) -> Any:
    """The value of a keyword that fits its type; None where it makes no sense."""
    if key == "enum":
        choices = [each for each in _choices(value) if has_json_type(each, kind)]
        return choices if choices and kind != "null" and not moonshot_schema.exceeds_enum_limits(choices) else None
    if key == "default":
        return value if has_json_type(value, kind) else None
    if key in _BOUNDS:
        return value if has_json_type(value, "number") else None
    if key in _COUNTS:
        return value if has_json_type(value, "integer") and value >= 0 else None
    return value if isinstance(value, bool if key == "uniqueItems" else str) else None


def _required(value: object, names: Mapping[str, Any]) -> list[str] | None:
    if not isinstance(value, list):
        return None
    found = [name for name in dict.fromkeys(each for each in value if isinstance(each, str)) if name in names]
    return found if found or not value else None


def _drop_empty_ranges(found: dict[str, Any]) -> dict[str, Any]:
    """Without ranges that nothing can be in."""
    for low, high in moonshot_schema.RANGE_KEYWORD_PAIRS:
        if low in found and high in found and found[low] > found[high]:
            del found[low], found[high]
    return found


def _merge_schemas(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """One schema that asks for both, as far as a schema can ask that."""
    both = {key: _merge_keyword(key, first[key], value) if key in first else value for key, value in second.items()}
    return {**first, **both}


def _merge_keyword(key: str, first: Any, second: Any) -> Any:
    if key == "properties":
        before, after = _mapping(first), _mapping(second)
        clash = {name: {"allOf": [before[name], after[name]]} for name in after if name in before}
        return {**before, **after, **{name: each for name, each in clash.items() if before[name] != after[name]}}
    if key in ("required", "allOf"):
        return [*_listed(first), *(each for each in _listed(second) if each not in _listed(first))]
    if key == "enum":
        return [each for each in _listed(first) if each in _listed(second)] or second
    if key == "type":
        return [each for each in _widened_types(first) if each in _widened_types(second)] or first
    if key == "anyOf":
        return first  # both at once would need every pair of branches
    return second


def _widened_types(kinds: object) -> list[Any]:
    """The types as a list; an integer is a number too."""
    found = kinds if isinstance(kinds, list) else [kinds]
    return [*found, "integer"] if "number" in found and "integer" not in found else found


def _annotations(flat: Mapping[str, Any]) -> dict[str, Any]:
    return {key: flat[key] for key in ANNOTATION_KEYWORDS if isinstance(flat.get(key), str)}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _resolve_pointer(root: Mapping[str, Any], ref: str) -> object:
    """What a reference within this schema points to; None for any other."""
    if not ref.startswith("#"):
        return None
    found: object = root
    steps: Iterable[str] = urllib.parse.unquote(ref[1:]).split("/")[1:]
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, Mapping):
            found = found.get(name)
        elif isinstance(found, list) and name.isdecimal() and int(name) < len(found):
            found = found[int(name)]
        else:
            return None
    return found
