"""Test targets of a Gradle or Maven build: the modules, packages, classes and methods that a selection names."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from kimi_agent.workspace.testrun.commands_and_reports import Target
from kimi_agent.workspace.testrun.formats.compiled.jvm_reports import JVM_SUFFIXES
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.reports.source_index import find_declared_types

_LANGUAGES = ("java", "kotlin", "groovy", "scala")
_PACKAGE = re.compile(r"^\s*package\s+([\w.`]+)", re.MULTILINE)
_IN_PACKAGE = re.compile(rf"src/\w+/(?:{'|'.join(_LANGUAGES)})/(?P<package>.+)")
_ABOVE_PACKAGES = re.compile(rf"|src(?:/\w+(?:/(?:{'|'.join(_LANGUAGES)}))?)?")
_METHOD = re.compile(r"(?P<name>[A-Za-z_$][\w$]*)(?P<more>\(|\[|\{|$)")


@dataclass(frozen=True)
class JvmSelection:
    """A part of the tests. `module` is a folder below the base ("" for the base itself); `package` or `cls` is "" for
    all; `is_parametrized` says that `method` runs several times, under names that go on with "[".
    """

    module: str
    package: str = ""
    cls: str = ""
    method: str = ""
    is_parametrized: bool = False


def select_jvm_tests(target: Target, folder: ProjectFolder, manifests: tuple[str, ...]) -> list[JvmSelection] | None:
    """What `target` names in the build of `folder`; None for what can be no test there."""
    if not target.path.is_relative_to(folder.path):
        return None
    module = _module(target.path, folder.path, manifests)
    where = "" if module == folder.path else module.relative_to(folder.path).as_posix()
    within = "" if target.path == module else target.path.relative_to(module).as_posix()
    if target.path.is_dir():
        return _in_folder(target.node, where, within)
    if target.path.suffix not in JVM_SUFFIXES:
        return None
    return _in_file(target, where, folder.text(target.path.relative_to(folder.path).as_posix()))


def _module(path: Path, base: Path, manifests: tuple[str, ...]) -> Path:
    """The folder of the module that `path` lies in: a module of Gradle's need not have a build file of its own."""
    place = path if path.is_dir() else path.parent
    while place != base and not ((place / "src").is_dir() or any((place / name).is_file() for name in manifests)):
        place = place.parent
    return place


def _in_folder(node: str, where: str, within: str) -> list[JvmSelection] | None:
    if node:
        cls, _, method = node.partition("::")
        return [_with_method(where, cls, method)] if re.fullmatch(r"[\w.$]+", cls) else None
    if _ABOVE_PACKAGES.fullmatch(within):
        return [JvmSelection(where)]
    inside = _IN_PACKAGE.fullmatch(within)
    return [JvmSelection(where, package=inside["package"].replace("/", "."))] if inside else None


def _in_file(target: Target, where: str, text: str) -> list[JvmSelection]:
    package = _PACKAGE.search(text)
    prefix = package[1].replace("`", "") + "." if package else ""
    stem, names = PurePosixPath(target.path.name).stem, find_declared_types(text)
    if not target.node:
        tops = [stem] if stem in names or not names else names
        return [JvmSelection(where, cls=prefix + name) for name in tops]
    parts = target.node.split("::")
    method = "" if parts[-1] in names else parts.pop()
    if stem in names or not names:
        parts.insert(0, stem)
    return [_with_method(where, prefix + "$".join(parts), method)]


def _with_method(where: str, cls: str, method: str) -> JvmSelection:
    # A name for people ("1 + 2 = 3") names no method: its whole class is run.
    known = _METHOD.match(method)
    if known is None:
        return JvmSelection(where, cls=cls)
    return JvmSelection(where, cls=cls, method=known["name"], is_parametrized=known["more"] == "[")
