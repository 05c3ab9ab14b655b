"""Specification of one command's options in getopt's notation, and the reading of its arguments by it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

_SHORT = re.compile(r"(.)(:{0,2})", re.DOTALL)
_NUMBER = re.compile(r"-\d+")


@dataclass(frozen=True)
class Argument:
    """One word behind a command's name: whether its specification lists it, and what of it may be a path."""

    word: str
    covered: bool
    paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class CommandSpec:
    """The options and operands of a command that a rule for the command speaks for; any other is not covered.

    `short` and `long` as for `getopt.getopt`: `a` takes no value, `a:` one, `a::` only an attached one; `sort=` takes
    a value, `color=?` only an attached one. An abbreviated long option counts as not listed: what it stands for
    depends on the tool's version.
    """

    short: str = ""
    long: str = ""
    operands: str = "PATH..."
    """Forms in their order, the last with `...` if it repeats. PATH is a path, URL may hold one, others are text."""

    values: Mapping[str, str] = field(default_factory=dict)
    """Regular expressions that the value of an option, or an operand of a form, has to fit, by their names."""

    texts: str = ""
    """Options whose value is never a path, though it may look like one: patterns, formats, messages."""

    displacing: str = ""
    """Options that stand for the first operand: a pattern by `-e` makes all operands of grep files."""

    single_dash: bool = False
    """Whole names stand behind one dash, as find and go have it; no clusters of letters."""

    stops: bool = False
    """The first operand ends the options, and what follows is not this command's to read."""

    rest: "CommandSpec | None" = None
    """What reads the words behind `--`, if they are another's: the test binary's, a script's."""

    def fits(self, name: str, value: str) -> bool:
        return name not in self.values or re.fullmatch(self.values[name], value, re.DOTALL) is not None


@dataclass(frozen=True)
class _Token:
    """A word, as an operand (`options` is None), or as the options in it with their values."""

    word: str
    options: tuple[tuple[str, str], ...] | None = None
    listed: bool = True


def read_arguments(args: tuple[str, ...], spec: CommandSpec) -> Iterator[Argument]:
    """`args` as `spec` reads them; those behind the end of a spec that `stops` are left out."""
    before = args[: args.index("--")] if spec.rest and "--" in args else args
    tokens = list(_tokens(before, spec))
    forms = spec.operands.split()
    used = {name for token in tokens for name, _ in token.options or ()}
    if used & set(spec.displacing.split()):
        forms = forms[1:]
    for token in tokens:
        if token.options is not None:
            yield _option(token, spec)
            continue
        form = forms[0].removesuffix("...") if forms else ""
        forms = forms if forms and forms[0].endswith("...") else forms[1:]
        yield Argument(token.word, bool(form) and spec.fits(form, token.word), _operand_paths(form, token.word))
    if spec.rest and len(before) < len(args):
        yield Argument("--", covered=True)
        yield from read_arguments(args[len(before) + 1 :], spec.rest)


def split_loosely(word: str) -> tuple[str, ...]:
    """The parts of a word of unknown meaning that may be paths: `-I/out`, `--x=../y`, `file:///z`, `@/f`, `a:/b`."""
    if re.match(r"(?!file:)[A-Za-z][\w+.-]*://", word, re.IGNORECASE):
        return ()
    found = [] if word.startswith("-") else [word]
    if re.match(r"-[^-]", word):
        found.append(word[2:])
        found += [match[0] for match in re.finditer(r"(?:\.\.|[/~]).*", word[1:], re.DOTALL)][:1]
    for part in re.split(r"[=:,;]", word)[1:]:
        found += [part, part.removeprefix("@")]
    found += [word.partition(mark)[2] for mark in "=@" if mark in word]
    return tuple(dict.fromkeys(part for part in found if part))


def _tokens(args: tuple[str, ...], spec: CommandSpec) -> Iterator[_Token]:
    at, ended = 0, False
    while at < len(args):
        word, at = args[at], at + 1
        if ended or len(word) < 2 or word[0] != "-":
            yield _Token(word)
            if spec.stops:
                return
        elif word == "--":
            ended = True
            yield _Token(word, ())
        else:
            read = _split_option(word, spec)
            if read is None:
                yield _Token(word, (), listed=False)
                continue
            options, waiting = read
            if waiting and at == len(args):
                yield _Token(word, tuple(options), listed=False)
                continue
            yield _Token(word, tuple(options))
            if waiting:
                # A value that looks like an option is one, if the tool reads this option otherwise than we do.
                yield _Token(args[at], ((waiting, args[at]),), not args[at].startswith("-") or _is_plain(args[at]))
                at += 1


def _is_plain(value: str) -> bool:
    return value == "-" or _NUMBER.fullmatch(value) is not None


def _split_option(word: str, spec: CommandSpec) -> tuple[list[tuple[str, str]], str] | None:
    """The options in a word with their values, and the name of one that takes the next word; None if one is unknown."""
    if spec.single_dash or word.startswith("--"):
        return _split_long(word.lstrip("-") if spec.single_dash else word[2:], spec)
    kinds = dict(_SHORT.findall(spec.short))
    found: list[tuple[str, str]] = []
    for at, letter in enumerate(word[1:], 2):
        kind = kinds.get(letter)
        if kind is None:
            return None
        if kind and (word[at:] or kind == "::"):
            return [*found, (letter, word[at:])], ""
        if kind:
            return found, letter
        found.append((letter, ""))
    return found, ""


def _split_long(text: str, spec: CommandSpec) -> tuple[list[tuple[str, str]], str] | None:
    name, equals, value = text.partition("=")
    listed = set(spec.long.split())
    if f"{name}=?" in listed or (not equals and name in listed):
        return [(name, value)], ""
    if f"{name}=" not in listed:
        return None
    return ([(name, value)], "") if equals else ([], name)


def _option(token: _Token, spec: CommandSpec) -> Argument:
    options = token.options or ()
    covered = token.listed and all(spec.fits(name, value) for name, value in options)
    if not covered:
        return Argument(token.word, covered, split_loosely(token.word))
    texts = spec.texts.split()
    paths = [value.removeprefix("=") for name, value in options if value and name not in texts]
    return Argument(token.word, covered, tuple(paths))


def _operand_paths(form: str, word: str) -> tuple[str, ...]:
    if form == "PATH":
        return (word,)
    return split_loosely(word) if form in {"URL", ""} else ()
