"""Finder of forbidden commands, refused even in yolo mode: they would destroy the machine, home or workspace.

A net for accidents, not a wall: a program can delete files without any of these words. Where the text proves the
loss (`rm -rf /`) the effect is `certain`; where only the run would show it (`rm -rf "$DIR"`) it is not, and a person
may still say yes.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, pairwise
from pathlib import Path

from kimi_agent.guard.destructive import protected_paths
from kimi_agent.guard.destructive.protected_paths import ForbiddenEffect, PathParts, ShellState, expand_word, split_path
from kimi_agent.guard.shell.launchers import LAUNCHERS, SHELL_KEYWORDS, SHELL_PROGRAMS
from kimi_agent.guard.shell.lexer import CommandSegment, ShellWord, parse_shell, unparse_words

MAX_SHELL_CHARS = 100_000
MAX_COMMAND_DEPTH = 8
MAX_NESTED_TEXTS = 400
MAX_PIPE_SOURCES = 3
MAX_WORDS = 4_000
MAX_VALUES = 16
ShellWords = tuple[ShellWord, ...]

REMOVERS = frozenset(["rm", "grm", "srm", "rimraf"])
TOO_DEEP = ForbiddenEffect("commands are nested in it too deeply to be read", certain=False)
_MODE_CHANGERS = frozenset(["chmod", "chown", "chgrp"])
_DISK_WRITERS = frozenset(["tee", "cp", "shred", "wipefs", "blkdiscard", "sgdisk", "parted", "fdisk", "sfdisk", "cat"])
_HARMFUL = REMOVERS | SHELL_PROGRAMS | _MODE_CHANGERS | _DISK_WRITERS | {"dd", "mv", "eval", "trap", "find"}
_DISK = re.compile(
    r"/dev/(sd|hd|vd|xvd|nvme|mmcblk|r?disk|mapper/|md\d|dm-|loop|ram|k?mem\b|port\b|nbd|zd|sr\d|root\b)"
)
_NAME = r"(?<![^\s(){};|&])([^\s(){};|&]{1,60})"
_FORK_BOMB = re.compile(_NAME + r"(?:\s{0,9}\(\s{0,9}\))?\s{0,9}\{\s{0,9}\1\s{0,9}\|\s{0,9}\1\s{0,9}&[^}]{0,80}\}")
_FILTERS = re.compile(
    r"-(i?name|i?path|i?wholename|i?regex|i?lname|empty|size|user|group|perm|inum|links|newer\w*|[acm](time|min)|nouser|nogroup)"
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=")


def find_forbidden_effect(text: str, *, home: Path, workspace: Path, cwd: Path | None = None) -> ForbiddenEffect | None:
    """The worst that `text` is seen to do; None if nothing is seen. It starts in `cwd`, by default the workspace."""
    if len(text) > MAX_SHELL_CHARS:
        return ForbiddenEffect(f"it has more than {MAX_SHELL_CHARS:,} characters, too many to be read", certain=False)
    state = ShellState(home, workspace, (split_path(cwd or workspace),))
    found = list(_ForbiddenFinder().dangers(text, state, 0))
    return next((forbidden for forbidden in found if forbidden.certain), next(iter(found), None))


@dataclass(frozen=True)
class CommandContext:
    """The context of a command: its segment, the segments piped into it (`fed`), the shell's state, and how deep in."""

    segment: CommandSegment
    fed: Sequence[CommandSegment]
    state: ShellState
    depth: int


class _ForbiddenFinder:
    """Reads a text and the texts within it; counts what it reads, so that no text can make it last."""

    def __init__(self) -> None:
        self._texts = 0
        self._words = 0

    def dangers(self, text: str, state: ShellState, depth: int) -> Iterator[ForbiddenEffect]:
        self._texts += 1
        if depth > MAX_COMMAND_DEPTH or self._texts > MAX_NESTED_TEXTS:
            yield TOO_DEEP
            return
        if _FORK_BOMB.search(text):
            yield ForbiddenEffect("it is a fork bomb", certain=True)
        reading = parse_shell(text)
        self._words += sum(1 + len(segment.words) for segment in reading.segments)
        if self._words > MAX_WORDS:
            yield ForbiddenEffect(f"it has more than {MAX_WORDS:,} words, too many to be read", certain=False)
            return
        state = replace(state, variables=collect_assignments(reading.segments, state))
        for inner in reading.substitutions:
            yield from self.dangers(inner, state, depth + 1)
        folders = [state.cwds]
        fed: list[CommandSegment] = []
        for segment in reading.segments:
            while len(folders) <= segment.depth:
                folders.append(folders[-1])
            del folders[segment.depth + 1 :]
            here = replace(state, cwds=folders[-1])
            fed = [*fed[-MAX_PIPE_SOURCES:], segment] if segment.before in {"|", "|&"} else [segment]
            yield from self._of_segment(CommandContext(segment, fed[:-1], here, depth))
            if "|" not in (segment.before, segment.after):
                folders[-1] = follow_cd(segment, here)

    def _of_segment(self, context: CommandContext) -> Iterator[ForbiddenEffect]:
        for target in context.segment.targets:
            if any(_DISK.match(value.text) for value in expand_word(target, context.state)):
                yield ForbiddenEffect("it would write over a disk", certain=True)
        if words := skip_assignments(context.segment.words):
            yield from self._of_command(words, context)

    def _of_command(self, words: ShellWords, context: CommandContext) -> Iterator[ForbiddenEffect]:
        if context.depth > MAX_COMMAND_DEPTH:
            yield TOO_DEEP
            return
        args, state = words[1:], context.state
        for value in expand_word(words[0], state):
            name = command_basename(value.text)
            if value.starts_unknown:
                # `$TOOL -rf /`: whatever it is, it is not to be tried.
                found = _harm("rm", args, state)
                yield from (replace(forbidden, certain=False) for forbidden in found if forbidden.certain)
                continue
            if name in SHELL_PROGRAMS or name in {"eval", "trap"}:
                for payload in find_payloads(name, args, context):
                    yield from self.dangers(payload, state, context.depth + 1)
            elif name in LAUNCHERS or name in SHELL_KEYWORDS:
                yield from self._of_wrapped(words, context)
            yield from _harm(name, args, state)

    def _of_wrapped(self, words: ShellWords, context: CommandContext) -> Iterator[ForbiddenEffect]:
        """The command within `sudo ...`: the first word that names something harmful, and any word that is a script."""
        state, deeper = context.state, replace(context, depth=context.depth + 1)
        wrapper = command_basename(expand_word(words[0], state)[0].text)
        for at, word in enumerate(words[1:], 1):
            text = unparse_words((word,))
            if " " in text or "\n" in text:
                yield from self.dangers(text, state, deeper.depth)
            name = command_basename(expand_word(word, state)[0].text)
            if name in _HARMFUL or name in LAUNCHERS or name in SHELL_KEYWORDS or name.startswith(("mkfs", "newfs")):
                rest = words[at:]
                if wrapper == "find":
                    if name in SHELL_PROGRAMS:
                        yield from self._of_command(rest, deeper)
                    continue
                if wrapper in {"xargs", "parallel"} and name in REMOVERS and _recursive(rest[1:], state):
                    yield from _named_by(context.fed, state)
                yield from self._of_command(rest, deeper)
                return


def _assignment(word: ShellWord) -> re.Match[str] | None:
    """The `NAME=` with which a word begins, None for a word that assigns nothing."""
    return _ASSIGNMENT.match(word[0].text) if word[0].kind == "text" and not word[0].quoted else None


def skip_assignments(words: ShellWords) -> ShellWords:
    """The words of a command without the assignments before it."""
    return tuple(dropwhile(_assignment, words))


def command_basename(text: str) -> str:
    """A command's name without its folder, in lower case, out of the notation of fnmatch."""
    return re.sub(r"\[(.)\]", r"\1", text).rpartition("/")[2].casefold()


def collect_assignments(segments: tuple[CommandSegment, ...], state: ShellState) -> dict[str, ShellWords | None]:
    """What variables may hold, from assignments and `for x in ...` anywhere in the text; None is not known."""
    known = dict(state.variables)
    for segment in segments:
        for word in segment.words:
            if match := _assignment(word):
                value = (replace(word[0], text=word[0].text[match.end() :]), *word[1:])
                simple = all(piece.kind == "text" or piece.text in {"HOME", "PWD"} for piece in value)
                before = known.get(match[1], ())
                kept = simple and before is not None and len(before) < MAX_VALUES
                known[match[1]] = (*(before or ()), value) if kept else None
        texts = [unparse_words((word,)) for word in segment.words[:3]]
        if len(texts) == 3 and texts[0] == "for" and texts[2] == "in":
            known[texts[1]] = segment.words[3:]
        elif texts[:1] == ["read"]:
            known |= {unparse_words((word,)): None for word in segment.words[1:]}
    return known


def follow_cd(segment: CommandSegment, state: ShellState) -> tuple[PathParts | None, ...]:
    """Where the shell may be after `segment`: a `cd` that is not joined by && may have failed."""
    words = segment.words
    if not words or unparse_words(words[:1]) not in {"cd", "pushd", "popd"}:
        return state.cwds
    targets = [word for word in words[1:] if not re.fullmatch(r"-[LPe@]*-?", unparse_words((word,)) or "-")]
    goals: list[PathParts | None] = []
    for value in expand_word(targets[0], state) if targets else []:
        for cwd in state.cwds:
            goals.append(None if value.has_unknown else protected_paths.resolve_parts(value.text, cwd, state))
    if not targets:
        goals = [split_path(state.home) if unparse_words(words[:1]) == "cd" and len(words) == 1 else None]
    return tuple(dict.fromkeys([*goals, *(() if segment.after == "&&" else state.cwds)]))[:8]


def find_payloads(name: str, args: ShellWords, context: CommandContext) -> Iterator[str]:
    """Texts that a shell, `eval` or `trap` will read as commands."""
    if name in {"eval", "trap"}:
        yield unparse_words(args if name == "eval" else args[:1])
        return
    texts = [unparse_words((word,)) for word in args]
    at = next((i for i, text in enumerate(texts) if re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", text)), None)
    if at is not None:
        yield from texts[at + 1 : at + 3]
    elif not any(text and text[0] not in "-+" for text in texts):
        yield from context.segment.documents
        for feeder in context.fed:
            yield from [unparse_words((word,)) for word in feeder.words[1:]]
            yield unparse_words(feeder.words[1:])
            yield from feeder.documents


def _named_by(fed: Sequence[CommandSegment], state: ShellState) -> Iterator[ForbiddenEffect]:
    """What `... | xargs rm -r` may be handed, as far as the commands before it name it."""
    for segment in fed:
        if command_basename(unparse_words(segment.words[:1])) == "find":
            yield from _find(segment.words[1:], state, removes=True)
            continue
        yield from _removals(segment.words[1:], state)


def _harm(name: str, args: ShellWords, state: ShellState) -> Iterator[ForbiddenEffect]:
    """What one command with its own arguments would do."""
    if name in REMOVERS:
        removals = _removals(operands(args), state)
        if name == "rimraf" or _recursive(args, state):
            yield from removals
        elif any(len(word) == 1 and word[0].kind != "text" and not word[0].quoted for word in args):
            # `rm $OPTIONS /`: the options are open, what they would be used on is not.
            yield from (replace(forbidden, certain=False) for forbidden in removals if forbidden.certain)
    elif name in _MODE_CHANGERS:
        if _recursive(args, state, letters="R"):
            for forbidden in _removals(operands(args), state, workspace_too=False):
                yield replace(forbidden, why=forbidden.why.replace("it would remove", "it would change the modes of"))
    elif name == "find":
        yield from _find(args, state, removes=False)
    elif name == "mv":
        given = operands(args)
        yield from (forbidden for forbidden in _removals(given[:-1], state) if forbidden.certain)
        if any(value.text == "/dev/null" for word in given[-1:] for value in expand_word(word, state)):
            yield ForbiddenEffect("it would put files in the place of /dev/null", certain=True)
    elif name.startswith(("mkfs", "newfs", "mke2fs", "mkswap")):
        texts = [value for word in operands(args) for value in expand_word(word, state)]
        if not texts or any(text.has_unknown or text.text.startswith("/dev") for text in texts):
            yield ForbiddenEffect("it would make a new file system over a disk", certain=True)
    elif name == "dd":
        texts = [value for word in args for value in expand_word(word, state)]
        if any(text.text.startswith("of=") and _DISK.match(text.text[3:]) for text in texts):
            yield ForbiddenEffect("it would write over a disk", certain=True)
    elif name in _DISK_WRITERS - {"cat"}:
        given = operands(args)[-1:] if name == "cp" else operands(args)
        if any(_DISK.match(value.text) for word in given for value in expand_word(word, state)):
            yield ForbiddenEffect("it would write over a disk", certain=True)


def operands(args: ShellWords) -> ShellWords:
    """Arguments that are not options; GNU tools take options after operands too, up to `--`."""
    texts = [unparse_words((word,)) for word in args]
    end = texts.index("--") if "--" in texts else len(args)
    before = tuple(word for word, text in zip(args[:end], texts, strict=False) if not re.match(r"-.", text))
    return before + args[end + 1 :]


def _recursive(args: ShellWords, state: ShellState, letters: str = "rR") -> bool:
    """Whether an option asks for the whole tree, or an unquoted expansion may."""
    for word in args:
        if unparse_words((word,)) == "--":
            break
        for value in expand_word(word, state):
            text = value.text
            long = len(text) > 2 and text.startswith("--") and "--recursive".startswith(text)
            if long or re.match(rf"-[A-Za-z]*[{letters}]", text):
                return True
    return False


def _removals(words: ShellWords, state: ShellState, *, workspace_too: bool = True) -> Iterator[ForbiddenEffect]:
    for word in words:
        for value in expand_word(word, state):
            if forbidden := protected_paths.check_removal(value, state, workspace_too=workspace_too):
                yield forbidden


def _find(args: ShellWords, state: ShellState, *, removes: bool) -> Iterator[ForbiddenEffect]:
    """`find ROOTS TESTS -delete`: without a test that chooses, all of the roots goes."""
    texts = [unparse_words((word,)) for word in args]
    executed = [command_basename(after) for text, after in pairwise(texts) if re.match(r"-(exec|ok)", text)]
    if not (removes or "-delete" in texts or any(name in REMOVERS or name in {"unlink", "shred"} for name in executed)):
        return
    first = next((i for i, text in enumerate(texts) if re.match(r"-[a-z]{2}|[(!]", text)), len(texts))
    roots = [word for word, text in zip(args[:first], texts, strict=False) if not re.match(r"-[HLPDO]", text)]
    chosen = any(
        _FILTERS.fullmatch(text) and not re.fullmatch(r"[*.?]*", after)
        for text, after in zip(texts, [*texts[1:], "-"], strict=True)
    )
    for forbidden in _removals(tuple(roots) or parse_shell(".").segments[0].words, state):
        if not chosen:
            yield forbidden
        elif "workspace itself" not in forbidden.why:
            yield replace(forbidden, certain=False)
