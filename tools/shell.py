"""shell: run a command in a fresh bash, in the directory where the last one ended."""

import re
import shlex
from typing import Annotated

from kimi_agent.log.views import OutputView
from kimi_agent.tool import Context, Field, Preview, Result, ToolError, escape_path, join_some, tool

# What exit 1 says where it is an answer and not a failure.
_EXIT_1_MEANINGS = {
    "no match": ("grep", "egrep", "fgrep", "zgrep", "rg", "ag", "git grep", "pgrep"),
    "they differ": ("diff", "cmp", "git diff"),
    "it is false": ("test", "[", "[["),
}
MAX_VIEW = 8_000
_MOST_CHANGED = 10


async def _preview(ctx: Context, command: str, cwd: str = "", timeout_s: float = 120, description: str = "") -> Preview:
    """The command as it will run, and where."""
    place = ctx.files.shown(cwd or str(ctx.runner.cwd))
    where = "" if place == "." else f" in {escape_path(place)}:"
    return Preview(f"shell{where} {description or ' '.join(command.split())[:100]}", OutputView(command, cwd=place))


@tool(effect="execute", preview=_preview)
async def shell(
    ctx: Context,
    command: Annotated[str, Field("Bash source; may have several lines.")],
    cwd: Annotated[str, Field("Directory to start in; default: where the last call ended.")] = "",
    timeout_s: Annotated[float, Field("Seconds until it is killed.", minimum=1, maximum=600)] = 120,
    description: Annotated[str, Field("What it does, in a few words, for the user.")] = "",
) -> Result:
    """Run a command in a fresh bash; only the directory (cd) is kept for the next call, inside the workspace.

    No stdin and no terminal: pass flags that answer prompts. Long output keeps its head and tail, and the whole as
    output:ID for read_file. To start a server: `cmd >log 2>&1 &`. Prefer read_file, search_code and the edit tools.
    """
    if not command.strip():
        raise ToolError("bad_arguments", "command is empty", "give the command to run")
    start = ctx.files.root / ctx.files.shown(cwd) if cwd else None
    if start is not None and not start.is_dir():
        raise ToolError("missing", f"there is no directory {cwd!r}", "give a cwd that exists")
    stale = set(ctx.files.changed())
    done = await ctx.runner.shell(command, timeout_s=timeout_s, cwd=start, on_output=ctx.progress)
    changed = [path for path in ctx.files.changed() if path not in stale]

    place = escape_path(ctx.files.shown(str(done.cwd)), MAX_VIEW)
    outcome, next_step = f"exit {done.exit_code}", ""
    if done.timed_out:
        outcome = f"killed after {timeout_s:g} s"
        next_step = "pass a larger timeout_s (at most 600), or do less at once"
    elif done.cut_off:
        outcome = f"killed: over {done.total_bytes:,} bytes of output"
        next_step = "print less: filter, or write to a file"
    notes = [_explain_exit_code(command, done.exit_code), done.note]
    if changed:
        shown = join_some(changed, _MOST_CHANGED, lambda path: escape_path(path, MAX_VIEW))
        notes.append(f"changed on disk by this command: {shown}")
    lines = [
        f"Error [{'timeout' if done.timed_out else 'failed'}]: the command was {outcome}; its output:"
        if next_step
        else "",
        done.text.rstrip("\n") or "(no output)",
        f"[{outcome} · {done.duration_s:.1f} s · cwd {place}]",
        *(f"Note: {note}" for note in notes if note),
        f"Next: {next_step}" if next_step else "",
    ]
    return Result(
        "\n".join(filter(None, lines)),
        OutputView(command, _head_and_tail(done.text), done.exit_code, done.duration_s, place, done.total_lines),
        failed=bool(next_step),
        code="timeout" if done.timed_out else "failed" if done.cut_off else "",
    )


def _head_and_tail(text: str) -> str:
    """The first and the last whole lines of a long text, for the person."""
    if len(text) <= MAX_VIEW:
        return text
    half = MAX_VIEW // 2
    return f"{text[:half].rpartition(chr(10))[0]}\n{text[-half:].partition(chr(10))[2]}"


def _explain_exit_code(command: str, exit_code: int | None) -> str:
    """What an exit code says beyond "it failed", judged by the last simple command; "" where nothing is known."""
    if exit_code == 137:
        return "killed by SIGKILL, not by us: perhaps out of memory"
    if exit_code is not None and exit_code > 128 and exit_code != 255:
        return f"ended by signal {exit_code - 128}"
    if exit_code != 1:
        return ""
    last = re.split(r"\|\||&&|[|;&\n]", command.rstrip().rstrip(";"))[-1]
    try:
        words = [word for word in shlex.split(last, comments=True) if not re.match(r"\w+=", word)]
    except ValueError:
        return ""
    name = words[0].rpartition("/")[2] if words else ""
    names = (name, " ".join([name, *words[1:2]]))
    for answer, commands in _EXIT_1_MEANINGS.items():
        if any(each in commands for each in names):
            return f"exit 1 of {name} means {answer}; that is an answer, not an error"
    return ""
