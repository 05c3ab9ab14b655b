"""Parser of unified diffs: of git (modes, renames, quoted paths), of diff -u, and as models write them."""

import re
from dataclasses import dataclass, field, replace

from kimi_agent.edit.parsing.hunks import UNIFIED_EXAMPLE, build_hunk, parse_hunk_header, patch_syntax_error
from kimi_agent.edit.patch import Hunk, HunkLine, PatchSection
from kimi_agent.errors import ErrorCode, ToolError

DEV_NULL = "/dev/null"
_GIT = "diff --git "
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\([0-7]{1,3}|.)")
_LETTERS = {"a": "\a", "b": "\b", "t": "\t", "n": "\n", "v": "\v", "f": "\f", "r": "\r"}
MAX_NAMES = 9_000  # characters of two paths
_MODES = {"100644": 0o644, "100755": 0o755}


def has_header_before(lines: list[str], limit: int) -> bool:
    """Whether a file header stands before line `limit`."""
    return any(_is_header(lines, place) for place in range(limit))


def _is_header(lines: list[str], place: int) -> bool:
    return lines[place].startswith(_GIT) or _is_pair(lines, place)


def _is_pair(lines: list[str], place: int) -> bool:
    return lines[place].startswith("--- ") and place + 1 < len(lines) and lines[place + 1].startswith("+++ ")


@dataclass
class _File:
    """One file of the diff, by its headers."""

    at: int
    old: str = ""
    new: str = ""
    git: bool = False
    action: str = "update"
    moved: bool = False
    mode: int | None = None
    hunks: list[Hunk] = field(default_factory=list)


def parse_unified_diff(lines: list[str], *, whole: bool) -> tuple[PatchSection, ...]:
    """The sections of the diff; `whole` says that its end was not cut off. Raises ToolError with the line at fault."""
    sections: list[PatchSection] = []
    place = 0
    while place < len(lines):
        if _is_header(lines, place):
            file, place = _headers(lines, place)
            place = _hunks(lines, place, file)
            if place == len(lines) and not whole:
                _must_be_complete(lines, file.hunks[-1:])
            sections.append(_section(lines, file))
        elif lines[place].startswith("@@"):
            expected = "a hunk needs `--- a/path` and `+++ b/path` before it"
            raise patch_syntax_error(place, lines[place], expected, UNIFIED_EXAMPLE)
        elif lines[place].startswith("Binary files ") and lines[place].rstrip().endswith(" differ"):
            raise _binary(place, lines[place])
        else:
            place += 1
    return tuple(sections)


def _must_be_complete(lines: list[str], last: list[Hunk]) -> None:
    """Raises ToolError (truncated) where the last hunk has fewer lines than its header counts."""
    for hunk in last:
        head = parse_hunk_header(lines[hunk.at])
        if head.numbered and (len(hunk.old) < head.old or len(hunk.new) < head.new):
            raise ToolError(
                "truncated",
                f"the patch breaks off: its last hunk (line {hunk.at + 1} of the patch) has fewer lines than its "
                "header counts, and no newline ends it; nothing was changed",
                "send the whole patch again, with a newline at its end; split a long one into several calls",
            )


def _headers(lines: list[str], place: int) -> tuple[_File, int]:
    file = _File(place)
    if lines[place].startswith(_GIT):
        file.git = True
        file.old, file.new = _git_names(lines[place][len(_GIT) :].rstrip("\r"))
        place += 1
        while place < len(lines) and _extended(lines, place, file):
            place += 1
    if place < len(lines) and _is_pair(lines, place):
        if not file.moved:  # `rename from` and `rename to` have no prefix that could be mistaken
            file.old, file.new = _name(lines[place][4:]), _name(lines[place + 1][4:])
        place += 2
        if file.old == DEV_NULL:
            file.action = "create"
        elif file.new == DEV_NULL:
            file.action = "delete"
    return file, place


def _extended(lines: list[str], place: int, file: _File) -> bool:
    """Take in an extended header of git; False where the headers end."""
    line = lines[place].rstrip("\r")
    word, _, value = line.rpartition(" ")
    match word:
        case "old mode":
            pass
        case "new mode":
            file.mode = _mode(place, line, value)
        case "new file mode":
            file.action, file.mode = "create", _mode(place, line, value)
        case "deleted file mode":
            file.action = "delete"
            _mode(place, line, value)
        case _ if line.startswith("rename from "):
            file.old, file.moved = _name(line[len("rename from ") :]), True
        case _ if line.startswith("rename to "):
            file.new, file.moved = _name(line[len("rename to ") :]), True
        case _ if line.startswith(("index ", "similarity index ", "dissimilarity index ")):
            if line.startswith("index ") and line.endswith((" 120000", " 160000")):
                _mode(place, line, value)
        case _ if line.startswith(("copy from ", "copy to ")):
            raise _refused(place, line, "parse", "copies are not supported; add the new file with its lines")
        case _ if line.startswith(("GIT binary patch", "Binary files ")):
            raise _binary(place, line)
        case _:
            return False
    return True


def _mode(place: int, line: str, value: str) -> int:
    if value not in _MODES:
        what = {"120000": "a symbolic link", "160000": "a submodule"}.get(value, f"mode {value}")
        raise _refused(place, line, "not_regular", f"{what} is not patched, only regular files (100644, 100755)")
    return _MODES[value]


def _refused(place: int, line: str, code: ErrorCode, why: str) -> ToolError:
    return ToolError(code, f"line {place + 1} of the patch: {line[:120]!r}; nothing was changed", why)


def _binary(place: int, line: str) -> ToolError:
    return _refused(place, line, "binary", "binary content cannot be patched; write it with a program, by shell")


def _git_names(rest: str) -> tuple[str, str]:
    """Both names of a `diff --git` line; they matter only where no other header names the file."""
    quoted = _QUOTED.match(rest)
    if quoted:
        return _unquoted(quoted[1]), _name(rest[quoted.end() :].strip())
    spaces = [place for place, char in enumerate(rest) if char == " "]
    for space in spaces if len(rest) <= MAX_NAMES else ():
        old, new = rest[:space], _name(rest[space + 1 :])
        if old == new or (old.startswith("a/") and new.startswith("b/") and old[2:] == new[2:]):
            return old, new
    old, _, new = rest.partition(" ")
    return old, _name(new)


def _name(text: str) -> str:
    text = text.rstrip("\r")
    quoted = _QUOTED.match(text.strip())
    if quoted:
        return _unquoted(quoted[1])
    return text.partition("\t")[0].strip()


def _unquoted(text: str) -> str:
    def byte(found: re.Match[str]) -> bytes:
        word = found[1]
        return bytes([int(word, 8) & 255]) if word.isdigit() else _LETTERS.get(word, word).encode()

    parts: list[bytes] = []
    end = 0
    for found in _ESCAPE.finditer(text):
        parts += [text[end : found.start()].encode("utf-8", "surrogatepass"), byte(found)]
        end = found.end()
    parts.append(text[end:].encode("utf-8", "surrogatepass"))
    return b"".join(parts).decode("utf-8", "surrogateescape")


def _hunks(lines: list[str], place: int, file: _File) -> int:
    while place < len(lines) and lines[place].startswith("@@"):
        at, head = place, parse_hunk_header(lines[place])
        body, place = _counted(lines, at + 1, head.old, head.new) if head.numbered else ([], -1)
        if place < 0:
            body, place = _uncounted(lines, at + 1)
        if all(line.op == " " for line in body):
            expected = "this hunk has no line that starts with `-` or `+`, so it would change nothing"
            raise patch_syntax_error(at, lines[at], expected, UNIFIED_EXAMPLE)
        anchors = (head.anchor,) if head.anchor else ()
        file.hunks.append(build_hunk(len(file.hunks) + 1, at, body, head, anchors=anchors))
        while place < len(lines) and not lines[place].strip():
            place += 1
    return place


def _counted(lines: list[str], place: int, old: int, new: int) -> tuple[list[HunkLine], int]:
    """The body that the counts name and the place after it; place -1 where it does not end exactly there."""
    body: list[HunkLine] = []
    while place < len(lines) and (old > 0 or new > 0 or lines[place].startswith("\\ ")):
        if not _take(lines, place, body):
            return body, -1
        if not lines[place].startswith("\\ "):
            old -= body[-1].op != "+"
            new -= body[-1].op != "-"
        place += 1
    after = place
    while after < len(lines) and not lines[after].strip():
        after += 1
    exact = old == 0 and new == 0 and (after == len(lines) or _may_follow(lines, after))
    # A count that is one too high on both sides would swallow the header of the next file as a changed line.
    swallowed = place < len(lines) and lines[place].startswith("@@") and len(body) > 1 and _is_pair(lines, place - 2)
    return body, place if exact and not swallowed else -1


def _may_follow(lines: list[str], place: int) -> bool:
    """Whether a body can end before this line: a header, the signature of a mailed patch, or what is no body line."""
    line = lines[place]
    signature = line.rstrip() == "--" and len(lines) - place <= 4
    return _is_header(lines, place) or signature or line[0] not in " +-\\"


def _uncounted(lines: list[str], place: int) -> tuple[list[HunkLine], int]:
    """The body up to the next header, for a hunk without counts or with wrong ones."""
    body: list[HunkLine] = []
    while place < len(lines) and not lines[place].startswith("@@") and not _is_header(lines, place):
        if not _take(lines, place, body):
            expected = "a line of a hunk starts with ` ` (context), `-` or `+`"
            raise patch_syntax_error(place, lines[place], expected, UNIFIED_EXAMPLE)
        place += 1
    while body and not lines[body[-1].number].strip("\r"):
        body.pop()  # blank lines that only separate: no diff program writes a context line without its space
    return body, place


def _take(lines: list[str], place: int, body: list[HunkLine]) -> bool:
    line = lines[place]
    if line[:1] in (" ", "+", "-"):
        body.append(HunkLine(line[0], line[1:], place))
    elif not line.strip("\r"):
        body.append(HunkLine(" ", line, place))
    elif line.startswith("\\ ") and body:
        body[-1] = replace(body[-1], bare=True)
    else:
        return False
    return True


def _section(lines: list[str], file: _File) -> PatchSection:
    line = lines[file.at]
    hunks = tuple(file.hunks)
    if not file.old and not file.new:
        raise patch_syntax_error(file.at, line, "this header names no file", UNIFIED_EXAMPLE)
    match file.action:
        case "create":
            if len(hunks) > 1 or any(hunk.old for hunk in hunks):
                raise patch_syntax_error(file.at, line, "a new file has one hunk, of `+` lines only", UNIFIED_EXAMPLE)
            return PatchSection("create", _stripped(file.new), file.at, hunks, mode=file.mode, at_once=file.git)
        case "delete":
            if any(hunk.new for hunk in hunks):
                raise patch_syntax_error(file.at, line, "a deleted file has only `-` lines", UNIFIED_EXAMPLE)
            paths = tuple(dict.fromkeys((*_stripped(file.old), file.old)))
            return PatchSection("delete", paths, file.at, hunks, at_once=file.git)
    if file.moved:
        return PatchSection("update", (file.old,), file.at, hunks, file.new, file.mode, at_once=True)
    if not hunks and file.mode is None:
        raise patch_syntax_error(file.at, line, "no hunk follows this header", UNIFIED_EXAMPLE)
    return PatchSection("update", _spellings(file.old, file.new), file.at, hunks, mode=file.mode)


def _stripped(path: str) -> tuple[str, ...]:
    """The path of an added or deleted file: its a/ or b/ is git's, where the other side is /dev/null."""
    return (path[2:],) if path.startswith(("a/", "b/")) and len(path) > 2 else (path,)


def _spellings(old: str, new: str) -> tuple[str, ...]:
    """What the header may mean, the likeliest first."""
    if old.startswith("a/") and new.startswith("b/"):
        return tuple(dict.fromkeys((new[2:], old[2:])))
    tails = [path.partition("/")[2] for path in (new, old)]
    return tuple(dict.fromkeys(path for path in (new, old, *tails) if path))
