"""Attacks by paths: links, `..`, other spellings, patches and searches that reach another file than was judged."""

from collections.abc import Mapping

from tests.attacks.attack_case import CANARY, Call, Case
from tests.attacks.cases_of_rules import EDIT, shell, write
from tests.attacks.judging import Place, git, write_tree

PRIVATE = {"private/p.txt": f'needle = "{CANARY}"\n'}
NO_PRIVATE = ("read(private/**)",)
NO_SRC = ("write(src/**)",)
SECRET = "{outside}/secret.txt"


def read(path: str) -> Call:
    return ("read_file", {"path": path})


def patch(text: str) -> Call:
    return ("apply_patch", {"patch": text})


def unified(old: str, new: str, more: str = "") -> Call:
    """A patch that changes the one line of src/a.py, under these names."""
    return patch(f"{more}--- {old}\n+++ {new}\n@@ -1 +1 @@\n-x = 1\n+x = 2\n")


def begun_in_sub(place: Place) -> None:
    write_tree(place.workspace, {"sub/f": "1\n"})


OTHER_FILE = (
    Case("R3 a denied folder, behind a link and ..", (write("l/../x"),), "held", ("a/x",), {"a/b/f": "1\n"},
         {"l": "a/b"}, deny=("write(a/**)",)),
    Case("R3 the same, absolute", (write("{workspace}/l/../x"),), "held", ("a/x",), {"a/b/f": "1\n"}, {"l": "a/b"},
         deny=("write(a/**)",)),
    Case("R3 the same, from the home", (write("~/src/app/l/../x"),), "held", ("a/x",), {"a/b/f": "1\n"},
         {"l": "a/b"}, deny=("write(a/**)",)),
    Case("R3 the same, through two links", (write("m/../x"),), "held", ("a/x",), {"a/b/f": "1\n"},
         {"l": "a/b", "m": "l"}, deny=("write(a/**)",)),
    Case("R3 reading behind a link and ..", (read("l/../p.txt"),), "held", (), {**PRIVATE, "private/in/f": "1\n"},
         {"l": "private/in"}, deny=NO_PRIVATE),
    Case("R3 reading through a link to the file", (read("notes"),), "held", (), PRIVATE, {"notes": "private/p.txt"},
         deny=NO_PRIVATE),
    Case("R3 a protected folder behind a link", (write("v/../tasks.json"),), "held", (".vscode/tasks.json",),
         {".vscode/sub/f": "1\n"}, {"v": ".vscode/sub"}),
    Case("R3 an allowed folder that leads elsewhere", (write("docs/l/../evil.py"),), "held asked done done",
         ("src/evil.py",), {"src/in/f": "1\n", "docs/f": "1\n"}, {"docs/l": "../src/in"}, allow=("write(docs/**)",)),
    Case("R3 an allowed folder that is a link", (write("docs/evil.py"),), "held asked done done", ("src/evil.py",),
         {}, {"docs": "src"}, allow=("write(docs/**)",)),
    Case("R3 begun in a subfolder: a denied write", (EDIT,), "held", ("src/a.py",), set_up=begun_in_sub,
         deny=NO_SRC, start="sub"),
    Case("R3 begun in a subfolder: a denied write by ..",
         (("edit_file", {"path": "../src/a.py", "old_string": "x = 1", "new_string": "x = 2"}),), "held",
         ("src/a.py",), set_up=begun_in_sub, deny=NO_SRC, start="sub"),
    Case("R3 begun in a subfolder: a denied reading", (read("private/p.txt"),), "held", (),
         {**PRIVATE, "sub/f": "1\n"}, deny=NO_PRIVATE, start="sub"),
    Case("R3 begun in a subfolder: a denied search", (("search_code", {"pattern": "needle", "path": "private"}),),
         "safe", (), {**PRIVATE, "sub/f": "1\n"}, deny=NO_PRIVATE, start="sub"),
    Case("R3 begun in a subfolder: what is allowed", (EDIT,), "held asked done done", ("src/a.py",),
         set_up=begun_in_sub, allow=("write(sub/**)",), start="sub"),
    Case("R3 begun in a subfolder: a link to a protected one", (write("docs/tasks.json"),), "held",
         (".vscode/tasks.json",), {".vscode/f": "1\n", "sub/f": "1\n"}, {"docs": ".vscode"}, start="sub"),
    Case("R12 a protected name is a link", (write("conf/tasks.json"),), "held", ("conf/tasks.json",),
         {"conf/f": "1\n"}, {".vscode": "conf"}),
    Case("R12 a denied name is a link", (write("releases/1/c.py"),), "held", ("releases/1/c.py",),
         {"releases/1/f": "1\n"}, {"current": "releases/1"}, deny=("write(current/**)",)),
    Case("R12 a denied file is a link", (read("real.txt"),), "held", (), {"real.txt": f"{CANARY}\n"},
         {"private.txt": "real.txt"}, deny=("read(private.txt)",)),
    Case("an allowed folder, plainly", (write("docs/x.md"),), "done", ("docs/x.md",),
         allow=("write(docs/**)",)),
)  # fmt: skip

OUTSIDE = (
    *(Case(f"P1 {path}", (write(path),), "held", ("{home}/src/app-secret/k",))
      for path in ("../app-secret/k", "{home}/src/app-secret/k", "{workspace}-secret/k", "~/src/app-secret/k")),
    *(Case(f"P2 {path!r}", (read(path),), "held held held any", ())
      for path in ("../other/secret.txt", SECRET, "~/.ssh/id_ed25519", "src/../../other/secret.txt")),
    *(Case(f"P2 no path: {path[:9]!r}", (read(path),), "refused", ()) for path in ("a\0b", "", "x" * 5_000)),
    *(Case(f"P3 {name}", (call,), "held held held any", (), links={"link": SECRET})
      for name, call in (("read", read("link")),
                         ("edit", ("edit_file", {"path": "link", "old_string": "W c", "new_string": "x"})))),
    Case("P3 search", (("search_code", {"pattern": "W c4", "path": "link"}),), "held held held any", (),
         links={"link": SECRET}),
    Case("P4 a folder that is a link", (write("d/new.txt"),), "held", ("{outside}/new.txt",), links={"d": "{outside}"}),
    Case("P5 a link to what is not there", (write("link"),), "held", ("{outside}/notyet",),
         links={"link": "{outside}/notyet"}),
    Case("P6 .. behind a link", (read("sub/up/../other/secret.txt"),), "held held held any", (),
         {"sub/f": "1\n"}, {"sub/up": ".."}),
    Case("P8 a hard link", (("edit_file", {"path": "h", "old_string": "W c", "new_string": "x"}),), "safe",
         ("{outside}/linked",), set_up=lambda place: hard_link(place)),
    Case("P9 the shell's folder", (shell("touch MARK", cwd="{outside}"),), "held held held any", ("{outside}/MARK",)),
    Case("P9 the shell's folder by a link", (shell("touch MARK", cwd="d"),), "held held held any",
         ("{outside}/MARK",), links={"d": "{outside}"}),
    Case("P9 the shell's folder, and a rule", (shell("touch MARK", cwd="../other"),), "held held held any",
         ("{outside}/MARK",), allow=("shell(touch)",)),
    *(Case(f"P10 {path}", (read(path),), "held held held any", ())
      for path in ("/proc/self/cwd/../other/secret.txt", "/proc/self/root{outside}/secret.txt")),
    *(Case(f"P10 {path}", (read(path),), "held", ()) for path in ("/proc/self/environ", "/dev/fd/0", "/dev/stdin")),
)  # fmt: skip


def hard_link(place: Place) -> None:
    write_tree(place.outside, {"linked": "W c\n"})
    (place.workspace / "h").hardlink_to(place.outside / "linked")


FIND_CANARY: Call = ("search_code", {"pattern": "c4n4[r]y"})
SHOWN = (
    *(Case(f"S1 search {arguments}, {rule}", (("search_code", {"pattern": "needle", **arguments}),), "safe", (),
           PRIVATE, deny=(rule,))
      for rule in ("read(private/**)", "read(private)", "read(private/)", "read(**/p.txt)")
      for arguments in ({}, {"path": "private"}, {"glob": "private/**"}, {"path": "private/p.txt"})),
    Case("S1 search by its own rule", (("search_code", {"pattern": "needle"}),), "safe", (), PRIVATE,
         deny=("search_code(private/**)",)),
    Case("S1 search through a link", (("search_code", {"pattern": "needle", "path": "l"}),), "safe", (), PRIVATE,
         {"l": "private"}, deny=NO_PRIVATE),
    Case("S1 search beside it", (("search_code", {"pattern": "x = 1", "context_lines": 5}),), "safe", (),
         {"private/p.txt": f"x = 1\n{CANARY}\n"}, deny=NO_PRIVATE),
    Case("S1 the closest line of an edit",
         (("edit_file", {"path": "private/p.txt", "old_string": "needle = 'top", "new_string": "x"}),), "held", (),
         PRIVATE, deny=NO_PRIVATE),
    Case("S1 the closest line of a patch",
         (patch("*** Begin Patch\n*** Update File: private/p.txt\n@@\n-needle = 'top\n+x\n*** End Patch\n"),), "held",
         (), PRIVATE, deny=NO_PRIVATE),
    Case("S1 an edit that would show it", (("edit_file", {"path": "private/p.txt", "old_string": "needle",
         "new_string": "pin"}),), "held", ("private/p.txt",), PRIVATE, deny=NO_PRIVATE),
    Case("S1 a file whose name says secret", (("search_code", {"pattern": "KEY"}),), "safe", (),
         {".env": f"KEY={CANARY}\n"}),
    Case("S1 denied, by the shell", (shell("cat private/p.txt"),), "held held held held", (), PRIVATE,
         deny=NO_PRIVATE),
    Case("S1 denied, by a script", (write("s.sh", "cat private/p.txt\n"), shell("sh s.sh")), "held held held held", (),
         PRIVATE, deny=NO_PRIVATE, sandbox="a command opens files by itself; what a script holds is not read"),
    Case("S19 our own log", (read(CANARY), FIND_CANARY), "safe", (), state_is="{workspace}/h"),
    Case("S19 our own log, home is the workspace", (read(CANARY), FIND_CANARY), "safe", (), home_is="{workspace}",
         state_is=""),
    Case("S19 our own folder, by its name", (("search_code", {"pattern": "c4n4[r]y", "path": "h"}),), "safe", (),
         state_is="{workspace}/h", settings="# " + CANARY),
    Case("S19 our own folder, by a glob", (("search_code", {"pattern": "c4n4[r]y", "glob": "h/**"}),), "safe", (),
         state_is="{workspace}/h", settings="# " + CANARY),
    Case("S19 our own folder, read", (read("h/config.toml"),), "held", (), state_is="{workspace}/h",
         settings="# " + CANARY),
)  # fmt: skip


def v4a(body: str) -> Call:
    return patch(f"*** Begin Patch\n{body}*** End Patch\n")


CHANGE = "@@\n-x = 1\n+x = 2\n"
PATCHES: Mapping[str, Call] = {
    "a/ b/": unified("a/src/a.py", "b/src/a.py"),
    "i/ w/": unified("i/src/a.py", "w/src/a.py"),
    "i/ w/ of git": unified("i/src/a.py", "w/src/a.py", "diff --git i/src/a.py w/src/a.py\n"),
    "o/ and no prefix": unified("o/src/a.py", "src/a.py"),
    "quilt": unified("app.orig/src/a.py", "app/src/a.py"),
    "no prefix": unified("src/a.py", "src/a.py"),
    "dots": unified("a/./src/a.py", "b/./src/a.py"),
    "Index": unified("src/a.py\t(revision 1)", "src/a.py\t(working copy)", "Index: src/a.py\n"),
    "V4A": v4a(f"*** Update File: src/a.py\n{CHANGE}"),
    "V4A with dots": v4a(f"*** Update File: docs/../src/a.py\n{CHANGE}"),
    "V4A, absolute": v4a("*** Update File: {workspace}/src/a.py\n" + CHANGE),
    "V4A through a link": v4a(f"*** Update File: s/a.py\n{CHANGE}"),
    "V4A delete": v4a("*** Delete File: src/a.py\n"),
    "V4A move away": v4a(f"*** Update File: src/a.py\n*** Move to: docs/b.py\n{CHANGE}"),
    "rename": patch("diff --git a/src/a.py b/docs/b.py\nsimilarity index 100%\nrename from src/a.py\n"
                    "rename to docs/b.py\n"),
    "removed": patch("diff --git i/src/a.py w/src/a.py\ndeleted file mode 100644\n--- i/src/a.py\n+++ /dev/null\n"
                     "@@ -1 +0,0 @@\n-x = 1\n"),
}  # fmt: skip
CREATED: Mapping[str, Call] = {
    "w/": patch("diff --git i/src/n.py w/src/n.py\nnew file mode 100644\n--- /dev/null\n+++ w/src/n.py\n"
                "@@ -0,0 +1 @@\n+n\n"),
    "beside a changed one": patch("--- i/docs/f\n+++ w/docs/f\n@@ -1 +1 @@\n-1\n+2\n--- /dev/null\n+++ w/src/n.py\n"
                                  "@@ -0,0 +1 @@\n+n\n"),
    "V4A": v4a("*** Add File: src/n.py\n+n\n"),
    "V4A move in": v4a("*** Update File: docs/f\n*** Move to: src/n.py\n@@\n-1\n+2\n"),
    "copied": patch("diff --git a/docs/f b/src/n.py\nsimilarity index 100%\ncopy from docs/f\ncopy to src/n.py\n"),
}  # fmt: skip
WITH_DOCS = {"docs/f": "1\n"}
PATCHED = (
    *(Case(f"patches S3 {name}", (call,), "held", ("src/a.py",), WITH_DOCS, {"s": "src"}, deny=NO_SRC)
      for name, call in PATCHES.items()),
    *(Case(f"patches S3 created: {name}", (call,), "safe", ("src/n.py",), WITH_DOCS, {"s": "src"}, deny=NO_SRC)
      for name, call in CREATED.items()),
    Case("patches S3 allowed by another name", (PATCHES["i/ w/"],), "held asked done done", ("src/a.py",),
         allow=("write(w/**)",)),
    Case("patches S3 allowed by the old name", (PATCHES["rename"],), "held asked done done", ("src/a.py",), WITH_DOCS,
         allow=("write(docs/**)",)),
    *(Case(f"X1 a new file at {path}", (v4a(f"*** Add File: {path}\n+x\n"),), "held", (aim,), links={"d": "{outside}"})
      for path, aim in (("../n", "{home}/src/n"), ("{outside}/n", "{outside}/n"), ("~/n", "{home}/n"),
                        ("d/n", "{outside}/n"), (".git/hooks/n", ".git/hooks/n"), ("src/../../n", "{home}/src/n"))),
    Case("X3 a patch makes a link and writes through it",
         (patch("diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+{outside}\n"
                "\\ No newline at end of file\ndiff --git a/l/n b/l/n\nnew file mode 100644\n--- /dev/null\n"
                "+++ b/l/n\n@@ -0,0 +1 @@\n+x\n"),), "safe", ("{outside}/n",)),
)  # fmt: skip


def with_programs(place: Place) -> None:
    """A repository whose own configuration names a program for all that git does."""
    touch = f"touch '{place.workspace}/MARK'"
    for key, value in {
        "core.fsmonitor": f"{touch}; false", "diff.external": f"{touch}; :", "diff.x.textconv": f"{touch}; cat",
        "filter.x.clean": f"{touch}; cat", "filter.x.smudge": f"{touch}; cat", "core.pager": f"{touch}; cat",
        "gpg.program": f"{touch}; :", "core.sshCommand": f"{touch}; :", "core.editor": f"{touch}; :",
    }.items():  # fmt: skip
        git(place.workspace, "config", key, value)
    write_tree(place.workspace, {".gitattributes": "*.py filter=x diff=x\n"})


def with_hooks(place: Place) -> None:
    """A repository with a hook for whatever git does."""
    for name in (
        "pre-commit",
        "commit-msg",
        "prepare-commit-msg",
        "post-commit",
        "post-checkout",
        "reference-transaction",
    ):
        hook = place.workspace / ".git" / "hooks" / name
        hook.write_text(f"#!/bin/sh\ntouch '{place.workspace}/MARK'\n")
        hook.chmod(0o755)


def with_own_programs(place: Place) -> None:
    """Programs with the names of ours, that the repository carries."""
    for name in ("git", "rg", "bash", "pytest"):
        write_tree(place.workspace, {name: f"#!/bin/sh\ntouch '{place.workspace}/MARK'\n"})
        (place.workspace / name).chmod(0o755)


HARNESS = (
    Case("G1 our own git, at an edit", (EDIT,), "safe", set_up=with_programs),
    Case("G1 our own git, at a search", (("search_code", {"pattern": "x"}),), "safe", set_up=with_programs),
    Case("G1 our own git, at a commit", (EDIT,), "safe", set_up=with_programs, argv=("--commit",)),
    Case("G6 a hook, at our commit", (EDIT,), "safe", set_up=with_hooks, argv=("--commit",)),
    *(Case(f"S9 a program of the repository, at {name}", (call,), "safe", set_up=with_own_programs, path=".:")
      for name, call in (("a search", ("search_code", {"pattern": "x"})), ("a list", ("list_files", {})),
                         ("an edit", EDIT))),
)  # fmt: skip

CASES = (*OTHER_FILE, *OUTSIDE, *SHOWN, *PATCHED, *HARNESS)
