"""What even yolo refuses: commands that would take the machine, the home or the workspace with them.

A net for accidents, not a wall: a program can delete files without any of these words. Where the text proves the
loss the danger is `certain`; where only the run would show it (`rm -rf "$DIR"`) it is not, and a person may still
say yes.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from kimi_agent.guard.destructive.protected_paths import Danger, Parts, Place, parts_of, removal, resolved, spellings
from kimi_agent.guard.shell.launchers import KEYWORDS, SHELLS, WRAPPERS
from kimi_agent.guard.shell.lexer import Segment, Word, read_shell, source

MAX_CHARS = 100_000
MAX_DEPTH = 8
MAX_TEXTS = 400
MAX_FED = 3
MAX_WORDS = 4_000
MAX_VALUES = 16

REMOVERS = frozenset(["rm", "grm", "srm", "rimraf"])
TOO_DEEP = Danger("commands are nested in it too deeply to be read", certain=False)
_MODE_CHANGERS = frozenset(["chmod", "chown", "chgrp"])
_DISK_WRITERS = frozenset(["tee", "cp", "shred", "wipefs", "blkdiscard", "sgdisk", "parted", "fdisk", "sfdisk", "cat"])
_HARMFUL = REMOVERS | SHELLS | _MODE_CHANGERS | _DISK_WRITERS | {"dd", "mv", "eval", "trap", "find"}
_DISK = re.compile(
    r"/dev/(sd|hd|vd|xvd|nvme|mmcblk|r?disk|mapper/|md\d|dm-|loop|ram|k?mem\b|port\b|nbd|zd|sr\d|root\b)"
)
_NAME = r"(?<![^\s(){};|&])([^\s(){};|&]{1,60})"
_FORK_BOMB = re.compile(_NAME + r"(?:\s{0,9}\(\s{0,9}\))?\s{0,9}\{\s{0,9}\1\s{0,9}\|\s{0,9}\1\s{0,9}&[^}]{0,80}\}")
_FILTERS = re.compile(
    r"-(i?name|i?path|i?wholename|i?regex|i?lname|empty|size|user|group|perm|inum|links|newer\w*|[acm](time|min)|nouser|nogroup)"
)
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)\+?=")


def catastrophe(text: str, *, home: Path, workspace: Path, cwd: Path | None = None) -> Danger | None:
    """The worst that `text` is seen to do; None if nothing is seen. It starts in `cwd`, by default the workspace."""
    if len(text) > MAX_CHARS:
        return Danger(f"it has more than {MAX_CHARS:,} characters, too many to be read", certain=False)
    place = Place(home, workspace, (parts_of(cwd or workspace),))
    reader = _Reader()
    found = list(reader.dangers(text, place, 0))
    return next((danger for danger in found if danger.certain), next(iter(found), None))


class _Reader:
    """Reads a text and the texts within it; counts what it reads, so that no text can make it last."""

    def __init__(self) -> None:
        self._texts = 0
        self._words = 0

    def dangers(self, text: str, place: Place, depth: int) -> Iterator[Danger]:
        self._texts += 1
        if depth > MAX_DEPTH or self._texts > MAX_TEXTS:
            yield TOO_DEEP
            return
        if _FORK_BOMB.search(text):
            yield Danger("it is a fork bomb", certain=True)
        reading = read_shell(text)
        self._words += sum(1 + len(segment.words) for segment in reading.segments)
        if self._words > MAX_WORDS:
            yield Danger(f"it has more than {MAX_WORDS:,} words, too many to be read", certain=False)
            return
        place = replace(place, variables=assigned(reading.segments, place))
        for inner in reading.substitutions:
            yield from self.dangers(inner, place, depth + 1)
        folders = [place.cwds]
        fed: list[Segment] = []
        for segment in reading.segments:
            while len(folders) <= segment.depth:
                folders.append(folders[-1])
            del folders[segment.depth + 1 :]
            here = replace(place, cwds=folders[-1])
            fed = [*fed[-MAX_FED:], segment] if segment.before in {"|", "|&"} else [segment]
            yield from self._of_segment(segment, fed[:-1], here, depth)
            if "|" not in (segment.before, segment.after):
                folders[-1] = moved(segment, here)

    def _of_segment(self, segment: Segment, fed: list[Segment], place: Place, depth: int) -> Iterator[Danger]:
        for target in segment.targets:
            if any(_DISK.match(spelling.text) for spelling in spellings(target, place)):
                yield Danger("it would write over a disk", certain=True)
        words = segment.words
        while words and _ASSIGNMENT.match(words[0][0].text) and words[0][0].kind == "text" and not words[0][0].quoted:
            words = words[1:]
        if words:
            yield from self._of_command(words, segment, fed, place, depth)

    def _of_command(
        self, words: tuple[Word, ...], segment: Segment, fed: list[Segment], place: Place, depth: int
    ) -> Iterator[Danger]:
        if depth > MAX_DEPTH:
            yield TOO_DEEP
            return
        args = words[1:]
        for spelling in spellings(words[0], place):
            name = bare_name(spelling.text)
            if spelling.adrift:
                # `$TOOL -rf /`: whatever it is, it is not to be tried.
                found = _harm("rm", args, place)
                yield from (replace(danger, certain=False) for danger in found if danger.certain)
                continue
            if name in SHELLS or name in {"eval", "trap"}:
                for payload in payloads(name, args, segment, fed):
                    yield from self.dangers(payload, place, depth + 1)
            elif name in WRAPPERS or name in KEYWORDS:
                yield from self._of_wrapped(words, segment, fed, place, depth)
            yield from _harm(name, args, place)

    def _of_wrapped(
        self, words: tuple[Word, ...], segment: Segment, fed: list[Segment], place: Place, depth: int
    ) -> Iterator[Danger]:
        """The command within `sudo ...`: the first word that names something harmful, and any word that is a script."""
        wrapper = bare_name(spellings(words[0], place)[0].text)
        for at, word in enumerate(words[1:], 1):
            text = source((word,))
            if " " in text or "\n" in text:
                yield from self.dangers(text, place, depth + 1)
            name = bare_name(spellings(word, place)[0].text)
            if name in _HARMFUL or name in WRAPPERS or name in KEYWORDS or name.startswith(("mkfs", "newfs")):
                rest = words[at:]
                if wrapper == "find":
                    if name in SHELLS:
                        yield from self._of_command(rest, segment, fed, place, depth + 1)
                    continue
                if wrapper in {"xargs", "parallel"} and name in REMOVERS and _recursive(rest[1:], place):
                    yield from _named_by(fed, place)
                yield from self._of_command(rest, segment, fed, place, depth + 1)
                return


def bare_name(text: str) -> str:
    """A command's name without its folder, in lower case, out of the notation of fnmatch."""
    return re.sub(r"\[(.)\]", r"\1", text).rpartition("/")[2].casefold()


def assigned(segments: tuple[Segment, ...], place: Place) -> dict[str, tuple[Word, ...] | None]:
    """What variables may hold, from assignments and `for x in ...` anywhere in the text; None is not known."""
    known = dict(place.variables)
    for segment in segments:
        for word in segment.words:
            match = _ASSIGNMENT.match(word[0].text) if word[0].kind == "text" and not word[0].quoted else None
            if match:
                value = (replace(word[0], text=word[0].text[match.end() :]), *word[1:])
                simple = all(piece.kind == "text" or piece.text in {"HOME", "PWD"} for piece in value)
                before = known.get(match[1], ())
                known[match[1]] = (
                    (*before, value) if simple and before is not None and len(before) < MAX_VALUES else None
                )
        texts = [source((word,)) for word in segment.words[:3]]
        if len(texts) == 3 and texts[0] == "for" and texts[2] == "in":
            known[texts[1]] = segment.words[3:]
        elif texts[:1] == ["read"]:
            known |= {source((word,)): None for word in segment.words[1:]}
    return known


def moved(segment: Segment, place: Place) -> tuple[Parts | None, ...]:
    """Where the shell may be after `segment`: a `cd` that is not joined by && may have failed."""
    words = segment.words
    if not words or source(words[:1]) not in {"cd", "pushd", "popd"}:
        return place.cwds
    targets = [word for word in words[1:] if not re.fullmatch(r"-[LPe@]*-?", source((word,)) or "-")]
    goals: list[Parts | None] = []
    for spelling in spellings(targets[0], place) if targets else []:
        for cwd in place.cwds:
            goals.append(None if spelling.hole else resolved(spelling.text, cwd, place))
    if not targets:
        goals = [parts_of(place.home) if source(words[:1]) == "cd" and len(words) == 1 else None]
    kept = () if segment.after == "&&" else place.cwds
    return tuple(dict.fromkeys([*goals, *kept]))[:8]


def payloads(name: str, args: tuple[Word, ...], segment: Segment, fed: list[Segment]) -> Iterator[str]:
    """Texts that a shell, `eval` or `trap` will read as commands."""
    if name == "eval":
        yield source(args)
        return
    if name == "trap":
        yield source(args[:1])
        return
    texts = [source((word,)) for word in args]
    at = next((i for i, text in enumerate(texts) if re.fullmatch(r"-[A-Za-z]*c[A-Za-z]*", text)), None)
    if at is not None:
        yield from texts[at + 1 : at + 3]
    elif not any(text and text[0] not in "-+" for text in texts):
        yield from segment.documents
        for feeder in fed:
            yield from [source((word,)) for word in feeder.words[1:]]
            yield source(feeder.words[1:])
            yield from feeder.documents


def _named_by(fed: list[Segment], place: Place) -> Iterator[Danger]:
    """What `... | xargs rm -r` may be handed, as far as the commands before it name it."""
    for segment in fed:
        if bare_name(source(segment.words[:1])) == "find":
            yield from _find(segment.words[1:], place, removes=True)
            continue
        for word in segment.words[1:]:
            for spelling in spellings(word, place):
                danger = removal(spelling, place)
                if danger:
                    yield danger


def _harm(name: str, args: tuple[Word, ...], place: Place) -> Iterator[Danger]:
    """What one command with its own arguments would do."""
    if name in REMOVERS:
        removals = _removals(operands(args), place)
        if name == "rimraf" or _recursive(args, place):
            yield from removals
        elif any(len(word) == 1 and word[0].kind != "text" and not word[0].quoted for word in args):
            # `rm $OPTIONS /`: the options are open, what they would be used on is not.
            yield from (replace(danger, certain=False) for danger in removals if danger.certain)
    elif name in _MODE_CHANGERS:
        if _recursive(args, place, letters="R"):
            for danger in _removals(operands(args), place, workspace_too=False):
                yield replace(danger, why=danger.why.replace("it would remove", "it would change the modes of"))
    elif name == "find":
        yield from _find(args, place, removes=False)
    elif name == "mv":
        given = operands(args)
        yield from (danger for danger in _removals(given[:-1], place) if danger.certain)
        if any(spelling.text == "/dev/null" for word in given[-1:] for spelling in spellings(word, place)):
            yield Danger("it would put files in the place of /dev/null", certain=True)
    elif name.startswith(("mkfs", "newfs", "mke2fs", "mkswap")):
        texts = [spelling for word in operands(args) for spelling in spellings(word, place)]
        if not texts or any(text.hole or text.text.startswith("/dev") for text in texts):
            yield Danger("it would make a new file system over a disk", certain=True)
    elif name == "dd":
        texts = [spelling for word in args for spelling in spellings(word, place)]
        if any(text.text.startswith("of=") and _DISK.match(text.text[3:]) for text in texts):
            yield Danger("it would write over a disk", certain=True)
    elif name in _DISK_WRITERS - {"cat"}:
        given = operands(args)[-1:] if name == "cp" else operands(args)
        if any(_DISK.match(spelling.text) for word in given for spelling in spellings(word, place)):
            yield Danger("it would write over a disk", certain=True)


def operands(args: tuple[Word, ...]) -> tuple[Word, ...]:
    """Arguments that are not options; GNU tools take options after operands too, up to `--`."""
    texts = [source((word,)) for word in args]
    end = texts.index("--") if "--" in texts else len(args)
    before = tuple(word for word, text in zip(args[:end], texts, strict=False) if not re.match(r"-.", text))
    return before + args[end + 1 :]


def _recursive(args: tuple[Word, ...], place: Place, letters: str = "rR") -> bool:
    """Whether an option asks for the whole tree, or an unquoted expansion may."""
    for word in args:
        if source((word,)) == "--":
            break
        for spelling in spellings(word, place):
            text = spelling.text
            long = len(text) > 2 and text.startswith("--") and "--recursive".startswith(text)
            if long or re.match(rf"-[A-Za-z]*[{letters}]", text):
                return True
    return False


def _removals(words: tuple[Word, ...], place: Place, *, workspace_too: bool = True) -> Iterator[Danger]:
    for word in words:
        for spelling in spellings(word, place):
            danger = removal(spelling, place, workspace_too=workspace_too)
            if danger:
                yield danger


def _find(args: tuple[Word, ...], place: Place, *, removes: bool) -> Iterator[Danger]:
    """`find ROOTS TESTS -delete`: without a test that chooses, all of the roots goes."""
    texts = [source((word,)) for word in args]
    executed = [bare_name(after) for text, after in pairwise(texts) if re.match(r"-(exec|ok)", text)]
    if not (removes or "-delete" in texts or any(name in REMOVERS or name in {"unlink", "shred"} for name in executed)):
        return
    first = next((i for i, text in enumerate(texts) if re.match(r"-[a-z]{2}|[(!]", text)), len(texts))
    roots = [word for word, text in zip(args[:first], texts, strict=False) if not re.match(r"-[HLPDO]", text)]
    chosen = any(
        _FILTERS.fullmatch(text) and not re.fullmatch(r"[*.?]*", after)
        for text, after in zip(texts, [*texts[1:], "-"], strict=True)
    )
    for danger in _removals(tuple(roots) or read_shell(".").segments[0].words, place):
        if not chosen:
            yield danger
        elif "workspace itself" not in danger.why:
            yield replace(danger, certain=False)
