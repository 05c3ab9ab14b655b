"""The loop guard: a tool wrapper that counts calls which bring the same result on the same files again.

The model hears it from the third time on, and more strongly from the fifth; at the eighth a person is asked, and
where nobody lets it go on the turn ends. A call whose result changes (it waits for something) never counts.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kimi_agent.errors import Stopped, ToolError
from kimi_agent.guard.tool_wrappers.normalize_calls import hash_texts, normalize_arguments, normalize_result
from kimi_agent.log.ask_person import ask_person
from kimi_agent.log.events import Checkpoint, Compacted, Effect, Emit, Returned, Said, Stamped
from kimi_agent.log.messages import User
from kimi_agent.log.questions import Ask, Question
from kimi_agent.log.views import Result
from kimi_agent.tool import Context, ParsedCall, Tool, summarize_arguments

NUDGE_AT, INSIST_AT, PAUSE_AT = 3, 5, 8
MAX_REMEMBERED = 500
MAX_RESULTS = 20
MAX_TREES = 100
MAX_LINES = 60
MAX_LINE = 300
MAX_FILE = 2_000_000

GO_ON, STOP = "let it go on", "stop here"
_WHY = f"It was told so at the {NUDGE_AT}rd and at the {INSIST_AT}th time."
_ANOTHER_WAY = "change the call by what is shown here, take another tool, or tell the user what stands in the way"


@dataclass
class _RepeatedCall:
    """A call, what it came to, and how often it brought nothing new."""

    lasts: bool
    results: set[bytes] = field(default_factory=set)
    times: int = 0

    def add(self, result: bytes) -> int:
        """How often by now."""
        if result not in self.results:
            if len(self.results) >= MAX_RESULTS:
                self.results.clear()
            self.results.add(result)
            self.times = 0
        self.times += 1
        return self.times


class LoopGuard:
    """Counts what the calls of one agent came to; hand it the session's events (`hear`).

    `ask_if_stuck`, before each request, asks a person about a call made `PAUSE_AT` times. Counts start over when a
    tree of the workspace differs, when the person says something, and after a compaction.
    """

    def __init__(self, ask: Ask, emit: Emit) -> None:
        self._ask = ask
        self._emit = emit
        self._met: OrderedDict[bytes, _RepeatedCall] = OrderedDict()
        self._trees: set[str] = set()
        self._stuck = ""

    def hear(self, stamped: Stamped) -> None:
        """A listener."""
        match stamped.event:
            case Said(User()) | Compacted():
                self._start_over()
            case Checkpoint(tree, when):
                self._look(tree, when)
            case Returned(result=Result(code="unknown_tool", content=text)):  # no tool, so nothing to guard
                self._count(hash_texts(text), b"", "read", failed=True, shown=lambda: text.split("\n")[0])
            case _:
                pass

    def wrap(self, tool: Tool) -> Tool:
        """`tool`, whose result says so when this same call came to it before."""

        async def run(ctx: Context, call: ParsedCall) -> Result:
            try:
                result = await tool.run(ctx, call)
            except ToolError as error:
                times = self._came_to(call, f"{error.code} {error.text}", failed=True)
                if times < NUDGE_AT:
                    raise
                raise ToolError(error.code, _insisted(error.text, times, call, ctx), _ANOTHER_WAY) from error
            times = self._came_to(call, result.content, failed=result.failed)
            if times < NUDGE_AT:
                return result
            if result.failed:
                content = f"{_insisted(result.content, times, call, ctx)}\nNext: {_ANOTHER_WAY}"
            else:
                content = f"{result.content}\n{_nudge(times)}"
            return Result(content, result.view, result.failed, result.code)

        return tool.wrapped(run)

    async def ask_if_stuck(self) -> None:
        """Ask a person about a call that was made too often; return if it may go on. Raises Stopped."""
        if not self._stuck:
            return
        what = f"the same call {self._stuck}"
        question = Question("loop", f"The model made {what}.", why=_WHY, choices=(GO_ON, STOP))
        decision = await ask_person(question, self._ask, self._emit)
        self._start_over(everything=True)
        if not decision.allowed:
            answer = "Say in one last answer what was done, what is left, and what stood in the way."
            wrap_up = f"The turn ends here: you made {what}. {answer}"
            raise Stopped(f"Stopped in a loop: the model made {what}.", "failed", 1, wrap_up=wrap_up)

    def _look(self, tree: str, when: str) -> None:
        """The files were kept: what was counted holds as long as they are the same."""
        if not tree:
            self._trees.clear()
        elif when == "after" or len(self._trees) >= MAX_TREES:
            self._trees = {tree}
            self._start_over()
        elif tree not in self._trees:
            # A tree that also keeps an ignored file has another name though nothing changed, so it starts things over
            # once, not each time that calls with and without such a file take turns.
            self._trees.add(tree)
            self._start_over()

    def _start_over(self, *, everything: bool = False) -> None:
        self._met = OrderedDict((key, met) for key, met in self._met.items() if met.lasts and not everything)
        self._stuck = ""

    def _came_to(self, call: ParsedCall, text: str, *, failed: bool) -> int:
        """How often this call came to this by now."""
        effect, result = call.tool.effect, hash_texts(normalize_result(text))
        key = hash_texts(call.tool.name, normalize_arguments(call.raw))
        # A reading tool may answer "unchanged since you read it": any of its earlier results again is nothing new.
        key += b"" if effect == "read" else result
        return self._count(key, result, effect, failed=failed, shown=lambda: _shown(call))

    def _count(self, key: bytes, result: bytes, effect: Effect, *, failed: bool, shown: Callable[[], str]) -> int:
        # An edit that fails with the very same text met the very same lines, whatever changed elsewhere.
        met = self._met.pop(key, None) or _RepeatedCall(lasts=failed and effect == "write")
        if not (self._trees or failed or effect == "read"):
            self._start_over()  # nobody kept the files, so this may have changed any of them
        self._met[key] = met
        if len(self._met) > MAX_REMEMBERED:
            self._met.popitem(last=False)
        times = met.add(result)
        if times >= PAUSE_AT:
            self._stuck = f"{times} times with the same result: {shown()}"
        return times


def _nudge(times: int) -> str:
    note = f"Note: this same call gave this same result {times} times"
    if times < INSIST_AT:
        return f"{note}; go on with what it says (to wait for something, sleep longer between two looks)."
    instead = "take the next step, try another way, or tell the user what stands in the way"
    return f"{note}. Do not send it again: {instead}; at {PAUSE_AT} times the turn is stopped."


def _insisted(text: str, times: int, call: ParsedCall, ctx: Context) -> str:
    """What went wrong, how often it did, and the file that it is about."""
    ending = f" At {PAUSE_AT} times the turn is stopped." if times >= INSIST_AT else ""
    lines = [text, f"This exact call failed in this exact way {times} times. Do not send it again.{ending}"]
    shown = _current(call, ctx)
    return "\n".join([*lines, shown] if shown else lines)


def _shown(call: ParsedCall) -> str:
    """The call for a person, on one line."""
    given = call.arguments.items()
    named = {key: f"{key}={value}" if key else value for key, value in given if value not in (None, "", [])}
    return f"{call.tool.name}({summarize_arguments(named)})"


def _current(call: ParsedCall, ctx: Context) -> str:
    """Numbered lines, as they are now, of the first file that the call names; "" where there is none to show."""
    try:
        path = next((path for path in call.paths if ctx.files.kind(path) == "file"), None)
        if path is None:
            return ""
        data = ctx.files.read(path, max_bytes=MAX_FILE).data
    except ToolError:
        return ""
    if b"\0" in data[:8192]:
        return ""
    wanted = {line.strip() for line in _texts(call.arguments) if len(line.strip()) > 3}
    lines = data.decode("utf-8", "replace").split("\n")
    hit = next((number for number, line in enumerate(lines) if line.strip() in wanted), 0)
    first = max(0, min(hit - MAX_LINES // 3, len(lines) - MAX_LINES))
    numbered = [f"{number}\t{line[:MAX_LINE]}" for number, line in enumerate(lines, 1)][first : first + MAX_LINES]
    head = f"{ctx.files.shown(path)} now, lines {first + 1}-{first + len(numbered)} of {len(lines)}:"
    return "\n".join([head, *numbered])


def _texts(value: Any) -> Iterator[str]:
    """All lines of all strings in the arguments, without the marks of a diff."""
    if isinstance(value, str):
        for line in value.split("\n"):
            yield line
            yield re.sub(r"^[-+ ]", "", line)
    elif isinstance(value, dict | list):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _texts(each)
