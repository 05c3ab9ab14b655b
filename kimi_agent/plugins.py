"""Plug-in loader: reads the values of one kind, such as tools, from a folder of each layer; lists broken files.

A later layer replaces a name of an earlier one.
"""

import hashlib
import importlib
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from kimi_agent.errors import UserError
from kimi_agent.layers import Layer


class Plugin(Protocol):
    """What a layer can hold: a value with a name."""

    @property
    def name(self) -> str:
        """The name that a later layer can replace."""


@dataclass(frozen=True)
class BrokenPlugin:
    """A plug-in file that could not be loaded: shown at start, never fatal to the rest."""

    path: Path
    error: str


P = TypeVar("P", bound=Plugin)


def load_plugins(
    layers: Sequence[Layer], folder: str, kind: type[P], *, read_toml: Callable[[str], P] | None = None
) -> tuple[dict[str, P], list[BrokenPlugin]]:
    """The values of `kind` in all layers' `folder` by name, and the files that failed.

    A Python module holds any number of values. `read_toml` makes one of a TOML file's text; it raises UserError for
    what it does not understand.
    """
    found: dict[str, P] = {}
    broken: list[BrokenPlugin] = []
    for layer in layers:
        modules = [path for path in layer.files(folder, ".py") if not path.stem.startswith("_")]
        package = _package(layer, folder) if modules else ""
        for path in modules:
            try:
                module = _import(f"{package}.{path.stem}", write_bytecode=layer.name != "project")
            except (Exception, SystemExit) as error:  # a stranger's module may raise anything at import
                broken.append(BrokenPlugin(path, f"{type(error).__name__}: {error}"))
            else:
                found |= {value.name: value for value in vars(module).values() if isinstance(value, kind)}
        if read_toml is None:
            continue
        for path in layer.files(folder, ".toml"):
            try:
                value = read_toml(path.read_text("utf-8"))
            except (UserError, OSError, UnicodeDecodeError) as error:
                broken.append(BrokenPlugin(path, str(error)))
            else:
                found[value.name] = value
    return found, broken


def _package(layer: Layer, folder: str) -> str:
    """A package whose path is the layer's folder, so that modules import their `._neighbours`."""
    path = layer.root / folder
    if layer.package:
        return f"{layer.package}.{folder}"
    name = f"kimi_agent_{folder}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    if layer.name != "built-in":  # a person edits these between two sessions of one process
        for module in [each for each in list(sys.modules) if each.startswith(name)]:
            del sys.modules[module]
        importlib.invalidate_caches()
    if name not in sys.modules:
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package
    return name


def _import(name: str, *, write_bytecode: bool) -> types.ModuleType:
    # A project is trusted by the hash of its folder, bytecode included: writing there would undo the trust.
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = before or not write_bytecode
    try:
        return importlib.import_module(name)
    finally:
        sys.dont_write_bytecode = before
