"""Random trees of files and links, and random calls on them: each path in one of its many spellings."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from tests.attacks.attack_case import Call
from tests.attacks.judging import Place, write_tree

FILES = ("f.txt", "src/f.txt", "src/in/f.txt", "private/p.txt", "private/in/p.txt", "docs/f.txt")
LINK_PLACES = ("l", "m", "v", "docs/l", "src/l", "private/l")
LINK_TARGETS = (
    "src", "src/in", "private", "private/in", "private/p.txt", "docs", "l", "..", "../private", "../src/in",
    "{workspace}/private", "{workspace}/src/in", "{outside}", "{outside}/secret.txt", "nowhere", "private/nowhere",
)  # fmt: skip
PARTS = ("src", "in", "private", "docs", "l", "m", "v", "..", ".", "", "PRIVATE", "f.txt", "p.txt", "new.txt")
PREFIXES = ("", "", "", "./", "{workspace}/", "~/src/app/", "../app/", "{workspace}/docs/../", "l/../", "docs/l/../")

Tree = tuple[dict[str, str], bool]
TREES: st.SearchStrategy[Tree] = st.tuples(
    st.dictionaries(st.sampled_from(LINK_PLACES), st.sampled_from(LINK_TARGETS), max_size=4), st.booleans()
)
"""Links by their places, and whether `private` is a link itself."""

_spelled = st.builds("{}{}".format, st.sampled_from(PREFIXES), st.sampled_from((*FILES, "private/new.txt", "new.txt")))
_wandering = st.builds(
    lambda prefix, parts: prefix + "/".join(parts),
    st.sampled_from(PREFIXES),
    st.lists(st.sampled_from(PARTS), min_size=1, max_size=4),
)
SPELLINGS = st.one_of(_spelled, _spelled, _wandering)


_ALMOST = "needle of-private-p.txt-hexe"  # an error shows the line that is closest to it


def _edit(path: str) -> Call:
    return ("edit_file", {"path": path, "old_string": "needle", "new_string": "pin"})


def _write(path: str, overwrite: bool) -> Call:
    return ("write_file", {"path": path, "content": "new\n", "overwrite": overwrite})


def _misfit(path: str) -> Call:
    return ("edit_file", {"path": path, "old_string": _ALMOST, "new_string": "pin"})


def _v4a(path: str, other: str, kind: str) -> Call:
    bodies = {
        "add": f"*** Add File: {path}\n+new\n",
        "delete": f"*** Delete File: {path}\n",
        "update": f"*** Update File: {path}\n@@\n-second\n+2nd\n",
        "misfit": f"*** Update File: {path}\n@@\n-{_ALMOST}\n+2nd\n",
        "move": f"*** Update File: {path}\n*** Move to: {other}\n@@\n-second\n+2nd\n",
    }
    return ("apply_patch", {"patch": f"*** Begin Patch\n{bodies[kind]}*** End Patch\n"})


def _unified(path: str, prefixes: tuple[str, str], *, created: bool) -> Call:
    old, new = (prefix + path for prefix in prefixes)
    hunk = "@@ -0,0 +1 @@\n+new\n" if created else "@@ -2 +2 @@\n-second\n+2nd\n"
    return ("apply_patch", {"patch": f"--- {'/dev/null' if created else old}\n+++ {new}\n{hunk}"})


def _search(more: dict[str, Any]) -> Call:
    return ("search_code", {"pattern": "needle", **more})


_globs = st.sampled_from(("private/**", "*.txt", "**/p.txt", "{l,private}/*"))
_scopes = st.one_of(
    st.just({}), st.builds(lambda path: {"path": path}, SPELLINGS), st.builds(lambda glob: {"glob": glob}, _globs)
)
FILE_CALLS: st.SearchStrategy[Call] = st.one_of(
    st.builds(lambda path: ("read_file", {"path": path}), SPELLINGS),
    st.builds(_write, SPELLINGS, st.booleans()),
    st.builds(_edit, SPELLINGS),
    st.builds(_misfit, SPELLINGS),
    st.builds(_v4a, SPELLINGS, SPELLINGS, st.sampled_from(("add", "delete", "update", "misfit", "move"))),
    st.builds(
        _unified,
        st.sampled_from((*FILES, "private/new.txt", "l/new.txt", "l/p.txt")),
        st.sampled_from((("a/", "b/"), ("i/", "w/"), ("", ""), ("app.orig/", "app/"), ("o/", "private/"))),
        created=st.booleans(),
    ),
    st.builds(_search, _scopes),
)  # fmt: skip


def make_tree(base: Path, tree: Tree) -> Place:
    """A place with these links. Each file holds its own needle, told by `needles`."""
    links, private_is_link = tree
    home = (base / "home").resolve()
    place = Place(home, home / "src" / "app", home / "src" / "other")
    write_tree(place.outside, {"secret.txt": _text("outside")})
    write_tree(place.workspace, {name: _text(name) for name in FILES})
    if private_is_link:
        (place.workspace / "private").rename(place.workspace / "vault")
        (place.workspace / "private").symlink_to("vault")
    for name, target in links.items():
        (place.workspace / name).symlink_to(place.filled(target))
    return place


def _text(name: str) -> str:
    return f"needle of-{name.replace('/', '-')}-here\nsecond\n"


def needles(place: Place) -> dict[str, Path]:
    """Each file's needle, and the file's real path."""
    found = {f"of-{name.replace('/', '-')}-here": (place.workspace / name).resolve() for name in FILES}
    return found | {"of-outside-here": place.outside / "secret.txt"}


@dataclass(frozen=True)
class Contents:
    """What stands below a folder: real paths of files and links, with their bytes or targets."""

    files: dict[Path, bytes]

    @classmethod
    def read(cls, root: Path) -> "Contents":
        found = {}
        for folder, folders, names in os.walk(root):
            for name in (*names, *folders):
                path = Path(folder, name)
                if path.is_symlink():
                    found[path] = os.fsencode(os.readlink(path))
                elif path.is_file():
                    found[path] = path.read_bytes()
        return cls(found)

    def changed(self, after: "Contents") -> set[Path]:
        """The paths that differ."""
        both = self.files.keys() | after.files.keys()
        return {path for path in both if self.files.get(path) != after.files.get(path)}
