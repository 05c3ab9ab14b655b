"""Import reach: whether test files plainly use a file, read from their imports without running anything. Pure.

What counts as plain: the file is one of the tests' own; it stands in the same package where the language compiles a
package as one (Go, Java, Kotlin, Rust, and any language whose imports are not read here) and a test names something
that it declares; or an import leads to it, in at most three steps through files of the workspace.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

TextOf = Callable[[str], str | None]
"""The text of a file of the workspace (by its relative path), None where there is none."""

_Found = TypeVar("_Found")

MAX_IMPORT_STEPS = 3
MAX_FILES_READ, MAX_FILES_SOUGHT = 150, 5_000
"""Of one question."""
_MOST_IMPORTS = 60
_MOST_PATH = 400

_PYTHON = re.compile(
    r"^[ \t]*(?:from[ \t]+(?P<base>\.*[\w.]*)[ \t]+import[ \t]*(?P<names>\([^)]*\)|[^\n#]*)"
    r"|import[ \t]+(?P<modules>[^\n#]+))",
    re.MULTILINE,
)
_JS = re.compile(r"""(?:\bfrom\s*|\bimport\s*\(?\s*|\brequire(?:\.resolve)?\s*\(\s*)["'](\.{1,2}(?:/[^"'\n]*)?)["']""")
_GO = re.compile(r'^\s*(?:import\s+)?(?:[\w.]+\s+)?"([^"\n]+)"', re.MULTILINE)
_RUBY = re.compile(r"""^\s*(require_relative|require|load)\s*\(?\s*["']([^"'\n]+)["']""", re.MULTILINE)
_JVM = re.compile(r"^\s*import\s+(?:static\s+)?([\w.]*\w(?:\.\*)?)", re.MULTILINE)
_PHP_USE = re.compile(r"^\s*use\s+(?:function\s+|const\s+)?\\?([\w\\]+)", re.MULTILINE)
_PHP_REQUIRE = re.compile(r"""\b(?:require|include)(?:_once)?\b[^;'"\n]*["']([^"'\n]+)["']""")
_C = re.compile(r'^\s*#\s*include\s*[<"]([^>"\n]+)[>"]', re.MULTILINE)
_DECLARED = re.compile(
    r"\b(?:func|fn|fun|function|sub|defp?|defmodule|module|mod|class|struct|enum|trait|interface|protocol|object|record|"
    r"type|const|static|val|var|let|macro_rules!)\s+(?:mut\s+)?(?:\([^)\n]*\)\s*)?([A-Za-z_]\w*)"
)
_WORD = re.compile(r"[A-Za-z_]\w*")
_GO_MODULE = re.compile(r"^module\s+(\S+)", re.MULTILINE)

_JS_ENDINGS = ("", ".js", ".ts", ".jsx", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".json", ".vue", ".svelte")
_JS_SUFFIXES = {"js", "ts", "jsx", "tsx", "mjs", "cjs", "mts", "cts", "vue", "svelte"}
_C_SUFFIXES = {"c", "cc", "cpp", "cxx", "h", "hh", "hpp"}
_JVM_SUFFIXES = {"java", "kt", "kts", "scala", "groovy"}
_READ = {"py", "pyi", "rb", "php"} | _JS_SUFFIXES | _C_SUFFIXES
_JVM_SOURCES = re.compile(r"^(?P<top>.*?)(?:src/\w+/\w+/)")


class ImportReach:
    """Questions about one snapshot of the files, whose texts `text` gives."""

    def __init__(self, text: TextOf) -> None:
        self._text = text
        self._imports: dict[str, tuple[str, ...]] = {}

    def reaches(self, test_files: Iterable[str], path: str) -> bool:
        """Whether the tests in `test_files` plainly use the file at `path`."""
        files = dict.fromkeys(test_files)
        if path in files:
            return True
        return any(self._names_package_member(file, path) for file in files) or self._is_imported(files, path)

    def _names_package_member(self, test: str, path: str) -> bool:
        """Whether a test of the same package names something that the file at `path` declares."""
        if not self._is_same_package(test, path):
            return False
        declared = frozenset(_DECLARED.findall(self._text(path) or ""))
        return not declared.isdisjoint(_WORD.findall(self._text(test) or ""))

    def _is_same_package(self, test: str, path: str) -> bool:
        suffix = _suffix(path)
        if suffix in _READ or (suffix != _suffix(test) and not {suffix, _suffix(test)} <= _JVM_SUFFIXES):
            return False
        if suffix == "rs":
            return self._nearest(test, "Cargo.toml") == self._nearest(path, "Cargo.toml")
        if suffix in _JVM_SUFFIXES:
            return _package_folder(test) == _package_folder(path)
        return _folder(test) == _folder(path)

    def _is_imported(self, test_files: Iterable[str], path: str) -> bool:
        step = [file for test in test_files for file in (test, *_fixture_files(test))]
        seen: set[str] = set()
        read = 0
        for _ in range(MAX_IMPORT_STEPS):
            found: dict[str, None] = {}
            for file in step:
                if file in seen or len(seen) >= MAX_FILES_SOUGHT or read >= MAX_FILES_READ:
                    continue
                seen.add(file)
                imported = self._imported_by(file)
                read += bool(imported)
                found.update(dict.fromkeys(imported))
            if any(_is_meant(each, path) for each in found):
                return True
            step = list(found)
        return False

    def _imported_by(self, file: str) -> tuple[str, ...]:
        """The paths that the imports of a file may mean; most of them do not exist."""
        if file not in self._imports:
            text = self._text(file) if len(file) <= _MOST_PATH else None
            self._imports[file] = tuple(self._read(file, text)) if text is not None else ()
        return self._imports[file]

    def _read(self, file: str, text: str) -> Iterator[str]:
        match _suffix(file):
            case "py" | "pyi":
                yield from _python_imports(file, text)
            case "go":
                yield from self._go_imports(file, text)
            case "rb":
                yield from _ruby_imports(file, text)
            case "php":
                yield from _php_imports(file, text)
            case suffix if suffix in _JS_SUFFIXES:
                for found in _first(_JS.findall(text)):
                    yield from _js_files(_joined(_folder(file), found))
            case suffix if suffix in _JVM_SUFFIXES:
                yield from (f"*/{each.replace('.', '/')}" for each in _first(_JVM.findall(text)))
            case suffix if suffix in _C_SUFFIXES:
                for found in _first(_C.findall(text)):
                    stem = found.rpartition(".")[0] or found
                    yield from (f"*/{PurePosixPath(stem).name}.{each}" for each in sorted(_C_SUFFIXES))
            case _:
                pass

    def _go_imports(self, file: str, text: str) -> Iterator[str]:
        """The folders of this module's packages that a Go file imports."""
        top = self._nearest(file, "go.mod")
        found = _GO_MODULE.search(self._text(_joined(top, "go.mod")) or "") if top is not None else None
        if found is None or top is None:
            return
        module = found[1]
        for each in _first(_GO.findall(text)):
            if each == module or each.startswith(f"{module}/"):
                yield _joined(top, each[len(module) :].strip("/")).rstrip("/") + "/*.go"

    def _nearest(self, path: str, manifest: str) -> str | None:
        """The folder of the nearest `manifest` above a file, "" for the workspace itself; None where there is none."""
        for folder in _folders_above(path):
            if self._text(_joined(folder, manifest)) is not None:
                return folder
        return None


def is_document(path: str) -> bool:
    """Whether a file is written for people to read, so that no test could prove it."""
    name = PurePosixPath(path)
    plain = re.fullmatch(r"(?:README|LICEN[CS]E|COPYING|CHANGE(?:S|LOG)|AUTHORS|NOTICE|HISTORY|NEWS)", name.stem, re.I)
    return name.suffix.lower() in (".md", ".rst", ".adoc", ".markdown") or (bool(plain) and name.suffix in ("", ".txt"))


def _is_meant(imported: str, path: str) -> bool:
    if imported.endswith("/*.go"):
        return path.endswith(".go") and _folder(path) == imported[: -len("/*.go")]
    if not imported.startswith("*/"):
        return imported == path
    tail = imported[2:]
    stem = path.rpartition(".")[0]
    if tail.endswith("/*"):
        return f"/{_folder(path)}".endswith(f"/{tail[:-2]}")
    # A class is imported by its package, and a member or an inner class of it by one name more.
    names = (tail, tail.rpartition("/")[0]) if _suffix(path) in _JVM_SUFFIXES else (tail,)
    return any(name and f"/{candidate}".endswith(f"/{name}") for name in names for candidate in (stem, path))


def _fixture_files(test: str) -> Iterator[str]:
    """The files that pytest and RSpec load with a test without an import."""
    if test.endswith(".py"):
        yield from (_joined(folder, "conftest.py") for folder in _folders_above(test))
    elif test.endswith(".rb"):
        for folder in _folders_above(test):
            yield from (_joined(folder, name) for name in ("spec_helper.rb", "rails_helper.rb", "test_helper.rb"))


def _python_imports(file: str, text: str) -> Iterator[str]:
    roots = [
        each for folder in _folders_above(file) for each in (folder, _joined(folder, "src"), _joined(folder, "lib"))
    ]
    for found in _first(list(_PYTHON.finditer(text))):
        if found["modules"]:
            for each in found["modules"].split(","):
                yield from _python_files(roots, each.split(" as ")[0].strip())
            continue
        base = found["base"]
        up = len(base) - len(base.lstrip("."))
        parents = list(_folders_above(file))
        places = parents[up - 1 : up] if up else roots
        names = [each.split(" as ")[0].strip() for each in found["names"].strip("() \t").replace("\n", ",").split(",")]
        module = base.lstrip(".")
        yield from _python_files(places, module)
        for name in names:
            if name.isidentifier():
                yield from _python_files(places, f"{module}.{name}".strip("."))


def _python_files(roots: Sequence[str], module: str) -> Iterator[str]:
    """The files that an import of a module would run: those of its parent packages too."""
    parts = module.split(".") if module else []
    if not all(part.isidentifier() for part in parts):
        return
    for root in roots:
        yield _joined(root, "__init__.py")
        for length in range(1, len(parts) + 1):
            base = _joined(root, "/".join(parts[:length]))
            yield from (f"{base}/__init__.py", f"{base}.py") if length == len(parts) else (f"{base}/__init__.py",)


def _js_files(base: str) -> Iterator[str]:
    yield from (f"{base}{ending}" for ending in _JS_ENDINGS)
    yield from (f"{base}/index{ending}" for ending in _JS_ENDINGS[1:9])
    stem, dot, suffix = base.rpartition(".")
    if dot and suffix in ("js", "jsx", "mjs", "cjs"):  # TypeScript imports by the name of what is compiled
        yield from (f"{stem}.{each}" for each in ("ts", "tsx", "mts", "cts"))


def _ruby_imports(file: str, text: str) -> Iterator[str]:
    for how, name in _first(_RUBY.findall(text)):
        path = name if name.endswith(".rb") else f"{name}.rb"
        if how == "require_relative" or path.startswith("."):
            yield _joined(_folder(file), path)
        else:
            for folder in _folders_above(file):
                yield from (_joined(folder, each) for each in (path, f"lib/{path}", f"app/{path}"))


def _php_imports(file: str, text: str) -> Iterator[str]:
    for name in _first(_PHP_USE.findall(text)):
        parts = name.split("\\")
        # The first part is that of the project, which Composer maps to a folder.
        yield "*/" + "/".join(parts[1:] if len(parts) > 1 else parts)
    for name in _first(_PHP_REQUIRE.findall(text)):
        yield _joined(_folder(file), name.lstrip("/"))


def _package_folder(path: str) -> str:
    """The folder of a Java package below its source folder, with that of the module."""
    found = _JVM_SOURCES.match(path)
    return f"{found['top']}:{_folder(path[found.end() :])}" if found else _folder(path)


def _first(found: Sequence[_Found]) -> Sequence[_Found]:
    return found[:_MOST_IMPORTS]


def _folders_above(path: str) -> Iterator[str]:
    """The folder of a file and those above it, "" last."""
    folder = _folder(path)
    while folder:
        yield folder
        folder = _folder(folder)
    yield ""


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix[1:].lower()


def _joined(folder: str, path: str) -> str:
    """A path below a folder, ".." and "." resolved; "" where it leads out of the workspace."""
    parts: list[str] = []
    for part in [*folder.split("/"), *path.split("/")]:
        if part == "..":
            if not parts:
                return ""
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)
