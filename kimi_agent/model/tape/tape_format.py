r"""Tapes: scripted answers of a model, written by hand (or recorded), one JSON object a line.

A tape plays in-process (`--model tape:FILE`), from the mock server (`kimi-agent mock FILE`) and in tests. Blank lines
and lines that start with # are passed over. A whole tape:

    # the agent looks, patches, and reports
    {"reason": "First look.", "say": "I read it.", "calls": [{"name": "read_file", "args": {"path": "a.py"}}]}
    {"expect": {"last_contains": "def add"}, "calls": [{"name": "shell", "args": {"command": "pytest -q"}}]}
    {"say": "Done: {{result|(\\d+) passed}} tests pass."}

Which line answers a request
  The number of assistant messages in the request says how far the conversation is: with none the first line answers,
  with one the second. So nothing has to be remembered: the same tape drives a run, the same run after a kill -9, and a
  mock server that was started again in between. A request that no line answers is an error, as is a failed `expect`.

  agent     the agent whose lines these are, for example "main.3" or "main.*" (its path; default: "main", or with
            `when` any). An agent's path is what comes behind "/" in the wire's prompt_cache_key.
  when      words of a user message. Lines with the same `agent` and `when` are a script of their own, which counts
            from the last user message that holds these words. Of several scripts that fit, one that names the agent
            wins, then the one whose words came last.
  at        the number of the answer that this line is (from 0); lines after it go on from there.
  repeat    this line gives so many answers in a row; true: all further ones.
  if        an interlude: a line that answers out of turn whenever its condition (same keys as `expect`, on what came
            last) holds, and uses up nobody's turn. {"if": {"last_contains": "interrupted"}, "calls": [...]} repeats
            a step that a crash cut. With note_contains it answers a request whose answer does not join the
            conversation, whichever script's turn it is: the harness asking for a summary. Its answer says
            {{place}}, a mark from which the answers are counted on once the summary replaces those before:
            {"agent": "*", "if": {"note_contains": "Make room"}, "say": "What was done. {{place}}"}
            (Conditions on results are for conversations short enough that no result is shortened.)

What it answers
  say       the text.                                   reason    the reasoning, which is streamed before it.
  calls     [{"name": "shell", "args": {...}}]. "raw": "text" instead of args sends arguments as they stand, "id" an
            id of your own; else it is functions.NAME:INDEX, which starts again at 0 in each answer, like Kimi's.
  usage     {"input": 900, "output": 40, "cached": 512}; null sends none; without it, a fourth of the characters,
            and as cached what the prompt has in common with the one before under the same prompt_cache_key.
  finish    the finish_reason; without it "tool_calls" or "stop".

  Placeholders in say, reason, args, raw and id: {{result}} is the last tool result, {{result:2}} the second result of
  the last answer's calls, {{prompt}} the last user message, {{step}} the number of this answer, {{place}} a mark of how
  far the tape is. {{result|REGEX}} takes the first group of REGEX (or its whole match); where it matches nothing, that
  is an error.

  A request that ends in a partial answer is given the rest of the line's text, and its calls; what the client kept has
  to be how the line begins, reasoning included. A line may call although the request says tool_choice "none".

How it arrives
  pace      tokens a second, or {"chunk": CHARS, "delay_s": SECONDS}; without it, at once.
  fault     what goes wrong, so many `times` (default 1, or "always"), before the line answers as it should:
            {"status": 429, "headers": {"retry-after": "2"}, "body": {"error": {...}}} another HTTP answer; status 200
            with a body sends that body as the stream; {"cut": 3} breaks off after three events, {"cut_bytes": 70}
            after 70 bytes, both with "clean": true as if the server had ended properly; {"stall": 3} goes silent;
            {"malformed": 3} makes the fourth event no JSON; {"drop": true} hangs up without a word.

What it expects of the request (`expect`; words are found as they stand, a list means all of them)
  last_contains, last_not_contains, regex    in what came after the last answer (results, user messages; no notes)
  last_role      the role of the last message, notes aside          messages       how many there are, notes aside
  contains, not_contains                     anywhere in the conversation, system prompt and notes included
  has_tool       names of tools that are offered                    note_contains  in the notes at the tail
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from kimi_agent.errors import UserError
from kimi_agent.log.messages import Usage

ExpectedText = str | list[str]
PLACEHOLDER = re.compile(r"\{\{(result|prompt|step|place)(?::(\d+))?(?:\|(.*?))?\}\}", re.DOTALL)


class _StrictStruct(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class ScriptedCall(_StrictStruct, frozen=True):
    name: str
    args: dict[str, Any] | None = None
    raw: str | None = None
    id: str = ""


class Pace(_StrictStruct, frozen=True):
    """`chunk` characters (0: one token) every `delay_s` seconds."""

    chunk: int = 0
    delay_s: float = 0.0


class Fault(_StrictStruct, frozen=True):
    status: int | None = None
    headers: dict[str, str] = {}
    body: str | dict[str, Any] = ""
    cut: int | None = None
    cut_bytes: int | None = None
    clean: bool = False
    stall: int | None = None
    malformed: int | None = None
    drop: bool = False
    times: int | Literal["always"] = 1


class Expectation(_StrictStruct, frozen=True):
    last_contains: ExpectedText = ""
    last_not_contains: ExpectedText = ""
    regex: str = ""
    last_role: str = ""
    messages: int | None = None
    contains: ExpectedText = ""
    not_contains: ExpectedText = ""
    has_tool: ExpectedText = ""
    note_contains: ExpectedText = ""


class TapeLine(_StrictStruct, frozen=True):
    """One line as it is written; see the module for what its keys mean."""

    say: str | None = None
    reason: str | None = None
    calls: list[ScriptedCall] = []
    usage: Usage | UnsetType | None = UNSET
    finish: str = ""
    pace: float | Pace | None = None
    fault: Fault | None = None
    expect: Expectation | None = None
    agent: str = ""
    when: str = ""
    at: int | None = None
    repeat: int | Literal[True] = 1
    interlude: Expectation | None = msgspec.field(default=None, name="if")


@dataclass(frozen=True)
class TapeEntry:
    """A line at its place: `number` in the file, and the answers it gives (`end` None: all from `start` on)."""

    number: int
    line: TapeLine
    start: int
    end: int | None


@dataclass(frozen=True)
class TapeScript:
    """The lines of one `agent` and `when`, in their order."""

    agent: str
    when: str
    entries: tuple[TapeEntry, ...]
    interludes: tuple[TapeEntry, ...]


@dataclass(frozen=True)
class Tape:
    """A parsed tape; `name` is how errors call it."""

    name: str
    scripts: tuple[TapeScript, ...]

    @classmethod
    def load(cls, path: Path) -> "Tape":
        """The tape in the file `path`. Raises UserError where it cannot be read or holds a bad line."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            raise UserError(f"Cannot read the tape {path}: {error.strerror}.", 78) from error
        except UnicodeDecodeError as error:
            raise UserError(f"The tape {path} is not UTF-8 text ({error.reason} at byte {error.start}).", 78) from error
        return cls.parse(text, str(path))

    @classmethod
    def parse(cls, text: str, name: str = "tape") -> "Tape":
        """The tape in `text`. Raises UserError that names the bad line and the keys it may hold."""
        lines = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
        read = (_read(number, line, name) for number, line in lines if line and line[0] != "#")
        return cls(name, _scripts(read, name))

    @classmethod
    def of(cls, *lines: Mapping[str, Any], name: str = "tape") -> "Tape":
        """A tape of these lines, given as values."""
        return cls.parse("\n".join(msgspec.json.encode(line).decode() for line in lines), name)


def _read(number: int, text: str, name: str) -> tuple[int, TapeLine]:
    try:
        line = msgspec.json.decode(text, type=TapeLine)
        _check(line)
    except (msgspec.DecodeError, RecursionError, ValueError, re.error) as error:
        reason = str(error).replace("Object contains", "it holds the")
        raise UserError(f"{name}, line {number}: {reason}. Known keys: {_known_keys()}.", 78) from error
    return number, line


def _known_keys() -> str:
    kinds: dict[str, type[msgspec.Struct]]
    kinds = {"a line": TapeLine, "a call": ScriptedCall, "fault": Fault, "expect and if": Expectation, "pace": Pace}
    keys = {kind: ", ".join(each.encode_name for each in msgspec.structs.fields(kinds[kind])) for kind in kinds}
    return "; ".join(f"{kind}: {names}" for kind, names in keys.items())


def _check(line: TapeLine) -> None:
    """Raises ValueError for what the types alone do not catch."""
    always = line.fault is not None and line.fault.times == "always"
    if not (line.say is not None or line.reason is not None or line.calls or always):
        raise ValueError("it answers nothing: give it say, calls or reason")
    for call in line.calls:
        if (call.args is None) == (call.raw is None):
            raise ValueError(f"the call of {call.name!r} needs either args or raw")
    if line.fault is not None:
        kinds = (line.fault.status, line.fault.cut, line.fault.cut_bytes, line.fault.stall, line.fault.malformed)
        if sum(kind is not None for kind in kinds) + line.fault.drop != 1:
            raise ValueError("a fault is one of status, cut, cut_bytes, stall, malformed, drop")
    for expect in (line.expect, line.interlude):
        re.compile(expect.regex if expect else "")
    if (asked := line.interlude) and (asked.contains or asked.not_contains or asked.has_tool):
        words = "last_contains, last_not_contains, regex, last_role, note_contains"
        raise ValueError(f"`if` looks at what came last only: {words}")
    for text in walk_strings(msgspec.to_builtins(line)):
        for found in PLACEHOLDER.finditer(text):
            re.compile(found[3] or "")


def walk_strings(value: object) -> Iterator[str]:
    """Every string inside a value of plain JSON types."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from walk_strings(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from walk_strings(each)


def _scripts(lines: Iterable[tuple[int, TapeLine]], name: str) -> tuple[TapeScript, ...]:
    entries: dict[tuple[str, str], list[TapeEntry]] = {}
    interludes: dict[tuple[str, str], list[TapeEntry]] = {}
    for number, line in lines:
        key = (line.agent, line.when)
        own = entries.setdefault(key, [])
        if line.interlude is not None:
            interludes.setdefault(key, []).append(TapeEntry(number, line, 0, None))
            continue
        start = line.at if line.at is not None else (own[-1].end if own else 0)
        if start is None or any(start < (each.end or start + 1) and start >= each.start for each in own):
            raise UserError(f"{name}, line {number}: a line before it already gives this answer.", 78)
        own.append(TapeEntry(number, line, start, None if line.repeat is True else start + line.repeat))
    return tuple(TapeScript(*key, tuple(own), tuple(interludes.get(key, ()))) for key, own in entries.items())
