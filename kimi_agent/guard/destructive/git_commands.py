"""Table of git commands that destroy work (`reset --hard`, `branch -D`): what each loses, and how it comes back.

Changes in the work tree come back from a snapshot, commits by the name that held them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from kimi_agent.guard.destructive.command_table import Loss

_WITH_VALUE = frozenset({"-C", "-c", "--git-dir", "--work-tree", "--namespace", "--exec-path", "--config-env"})


def find_git_losses(words: Sequence[str]) -> Iterator[Loss]:
    """What `git WORDS` would lose; the words are plain, "" where one is only known when it runs."""
    elsewhere = ""
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if words[at] in ("-C", "--git-dir", "--work-tree"):
            elsewhere = words[at + 1] if at + 1 < len(words) else ""
        at += 2 if words[at] in _WITH_VALUE else 1
    if at >= len(words):
        return
    read = _READERS.get(words[at])
    for loss in read(list(words[at + 1 :])) if read else ():
        # With -C it acts on another folder: only inside the workspace a snapshot covers it.
        outside = elsewhere.startswith(("/", "~", "..")) and loss.covered
        yield Loss(f"{loss.what} in {elsewhere[:60]}", covered=False) if outside else loss


def _has(words: Sequence[str], letters: str, *long: str) -> bool:
    """Whether one of the options is given: a letter (also among others: -fd), or a long name or its beginning."""
    before = words[: words.index("--")] if "--" in words else words
    for word in before:
        if word.startswith("--"):
            name = word.partition("=")[0]
            if any(name == each or (len(name) > 4 and each.startswith(name)) for each in long):
                return True
        elif letters and re.match(rf"-[A-Za-z]*[{letters}]", word):
            return True
    return False


def _plain(words: Sequence[str]) -> list[str]:
    return [word for word in words if not word.startswith("-")]


def _reset(words: list[str]) -> Iterator[Loss]:
    if _has(words, "", "--hard", "--merge", "--keep"):
        yield Loss("discards uncommitted changes (git reset)")
        if any(word != "HEAD" for word in _plain(words)):
            yield Loss("moves the branch", refs=("HEAD",), restore="git reset --soft {commit}")


def _checkout(words: list[str]) -> Iterator[Loss]:
    paths = words[words.index("--") + 1 :] if "--" in words else []
    named = [word for word in _plain(words) if word in (".", "./", "*", ":/") or word.startswith((":/", "./", "../"))]
    if paths or named or _has(words, "f", "--force", "--ours", "--theirs", "--pathspec-from-file"):
        yield Loss("discards uncommitted changes (git checkout)")
    elif not _has(words, "bBt", "--track", "--orphan") and _names_files(_plain(words)):
        yield Loss("may discard uncommitted changes in the files it names (git checkout)")
    if _has(words, "B"):
        yield from _refs(_plain(words)[:1], "resets a branch", "git branch -f {name} {commit}")


def _names_files(words: list[str]) -> bool:
    """Whether what comes behind `git checkout` may be files: a second word, or a name with an ending."""
    return len(words) > 1 or any(re.search(r"\.\w{1,5}$", word) for word in words)


def _switch(words: list[str]) -> Iterator[Loss]:
    if _has(words, "f", "--force", "--discard-changes"):
        yield Loss("discards uncommitted changes (git switch)")
    if _has(words, "C", "--force-create"):
        yield from _refs(_plain(words)[:1], "resets a branch", "git branch -f {name} {commit}")


def _restore(words: list[str]) -> Iterator[Loss]:
    if not _has(words, "S", "--staged") or _has(words, "W", "--worktree"):
        yield Loss("discards uncommitted changes (git restore)")


def _clean(words: list[str]) -> Iterator[Loss]:
    if _has(words, "n", "--dry-run") or not _has(words, "f", "--force"):
        return
    if _has(words, "xX"):
        yield Loss("deletes untracked files, ignored ones such as .env too", covered=False)
    else:
        yield Loss("deletes untracked files (git clean)")


def _stash(words: list[str]) -> Iterator[Loss]:
    if words[:1] == ["drop"]:
        named = _plain(words[1:])[:1] or ["stash@{0}"]
        ref = f"stash@{{{named[0]}}}" if named[0].isdecimal() else named[0]
        yield Loss("drops a stash", refs=(ref,), restore="git stash store {commit}")
    elif words[:1] == ["clear"]:
        yield Loss("drops all stashes", covered=False)


def _branch(words: list[str]) -> Iterator[Loss]:
    if _has(words, "D") or (_has(words, "d", "--delete") and _has(words, "f", "--force")):
        kind = "remotes" if _has(words, "r", "--remotes") else "heads"
        yield from _refs(_plain(words), "deletes branches", "git branch {name} {commit}", kind)
    elif _has(words, "MC"):
        yield from _refs(_plain(words)[-1:], "overwrites a branch", "git branch -f {name} {commit}")
    elif _has(words, "f", "--force"):
        yield from _refs(_plain(words)[:1], "moves a branch", "git branch -f {name} {commit}")


def _tag(words: list[str]) -> Iterator[Loss]:
    if _has(words, "d", "--delete"):
        yield from _refs(_plain(words), "deletes tags", "git tag {name} {commit}", "tags")
    elif _has(words, "f", "--force"):
        yield from _refs(_plain(words)[:1], "moves a tag", "git tag -f {name} {commit}", "tags")


def _refs(names: Sequence[str], what: str, restore: str, kind: str = "heads") -> Iterator[Loss]:
    for name in names:
        if name and re.fullmatch(r"[\w./+-]+", name):
            yield Loss(what, refs=(f"refs/{kind}/{name}",), restore=restore.replace("{name}", name))
        else:
            yield Loss(f"{what} that are only known when it runs", covered=False)


def _push(words: list[str]) -> Iterator[Loss]:
    forced = _has(words, "f", "--force", "--force-with-lease", "--force-if-includes", "--mirror", "--prune")
    if _has(words, "n", "--dry-run"):
        return
    if forced or any(word.startswith("+") for word in _plain(words)):
        yield Loss("overwrites history at the remote", covered=False)
    elif _has(words, "d", "--delete") or any(re.match(r":.", word) for word in _plain(words)):
        yield Loss("deletes at the remote", covered=False)


def _when(pattern: str, what: str, *, covered: bool) -> Callable[[list[str]], Iterator[Loss]]:
    held = re.compile(pattern)

    def read(words: list[str]) -> Iterator[Loss]:
        if held.search(" ".join(words)):
            yield Loss(what, covered)

    return read


_READERS: Mapping[str, Callable[[list[str]], Iterator[Loss]]] = {
    "reset": _reset,
    "checkout": _checkout,
    "switch": _switch,
    "restore": _restore,
    "clean": _clean,
    "stash": _stash,
    "branch": _branch,
    "tag": _tag,
    "push": _push,
    "rm": _when(r"^(?!.*--cached)", "deletes files (git rm)", covered=True),
    "read-tree": _when(r"-u\b|--reset", "overwrites files (git read-tree)", covered=True),
    "checkout-index": _when(r"-f|--force|-\w*f", "overwrites files (git checkout-index)", covered=True),
    "reflog": _when(r"^(expire|delete)", "forgets where branches were", covered=False),
    "gc": _when(r"--prune(=| )?(now|all)|--aggressive.*--prune", "removes commits that nothing names", covered=False),
    "prune": _when(r"^(?!.*(-n|--dry-run))", "removes commits that nothing names", covered=False),
    "filter-branch": _when("", "rewrites history", covered=False),
    "filter-repo": _when("", "rewrites history", covered=False),
    "update-ref": _when(r"(^| )(-d|--stdin)", "deletes a ref", covered=False),
    "worktree": _when(r"^remove .*(-f|--force)|^remove -f", "removes a worktree with its changes", covered=False),
    "submodule": _when(r"^deinit .*(-f|--force|--all)", "removes the files of submodules", covered=True),
    **dict.fromkeys(
        ("merge", "rebase", "cherry-pick", "am", "revert"),
        _when(r"--abort", "discards a half-done merge (git --abort)", covered=True),
    ),
    "svn": _when(r"reset", "forgets revisions", covered=False),
    "replace": _when(r"(^| )-d", "deletes a replacement", covered=False),
    "remote": _when(r"^(rm|remove|prune) ", "forgets the branches of a remote", covered=False),
}
