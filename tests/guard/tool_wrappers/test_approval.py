"""The wrapper that asks: what is asked, what is told, and that what was approved is what runs."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import pytest

from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.guard.policy.policy import PermissionMode, Policy, Rules
from kimi_agent.guard.tool_wrappers.approval import refuse_all, wrap_with_approval
from kimi_agent.log.events import Answered, Asked, Event, Stamped
from kimi_agent.log.questions import Decision, Question
from kimi_agent.log.views import OutputView, TextView
from kimi_agent.tool import Context, Field, Preview, Result, Tool, tool
from tests.golden_texts import Golden
from tests.tool_calls import run_tool

YES = Decision(allowed=True)
ALWAYS = Decision(allowed=True, always=True)
NO = Decision(allowed=False)


@dataclass
class Person:
    """Answers questions in order, and remembers them; what was emitted too."""

    answers: list[Decision]
    asked: list[Question] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    before_answering: Callable[[], object] = lambda: None

    async def ask(self, question: Question) -> Decision:
        self.asked.append(question)
        self.before_answering()
        return self.answers.pop(0)

    def emit(self, event: Event) -> Stamped:
        self.events.append(event)
        return Stamped("main", len(self.events), 0.0, event)


async def _show_command(ctx: Context, command: str) -> Preview:
    return Preview(f"shell {command}", OutputView(command))


@tool(effect="execute", preview=_show_command)
async def shell(ctx: Context, command: Annotated[str, Field("Command.")]) -> str:
    """Pretend to run."""
    return f"ran {command}"


async def _show_file(ctx: Context, path: str) -> Preview:
    return Preview(f"append to {path}", TextView(ctx.files.read(path).data.decode()))


@tool(effect="write", preview=_show_file)
async def append(ctx: Context, path: Annotated[str, Field("Path.")]) -> str:
    """Add a line."""
    with (ctx.files.root / path).open("a") as file:
        file.write("more\n")
    return "done"


@tool(effect="read")
async def read(ctx: Context, path: Annotated[str, Field("Path.")]) -> str:
    """Read."""
    return ctx.files.read(path).data.decode()


def made(
    workspace: Path, mode: PermissionMode = "ask", allow: tuple[str, ...] = (), deny: tuple[str, ...] = ()
) -> Policy:
    return Policy(mode, Rules.parse(allow, deny), workspace=workspace, home=Path("/home/me"))


async def run(context: Context, what: Tool, policy: Policy, person: Person, **arguments: object) -> Result:
    guarded = wrap_with_approval(what, policy=policy, ask=person.ask, emit=person.emit)
    return await run_tool(guarded, context, json.dumps(arguments))


async def denied(work: Awaitable[Result]) -> ToolError:
    with pytest.raises(ToolError) as caught:
        await work
    return caught.value


async def test_what_is_allowed_runs_unasked(context: Context, workspace: Path) -> None:
    person = Person([])
    policy = made(workspace, allow=("shell(git log)",))
    assert (await run(context, shell, policy, person, command="git log")).content == "ran git log"
    assert person.events == []


async def test_a_question_shows_the_real_command_and_both_sides_are_kept(context: Context, workspace: Path) -> None:
    person = Person([YES])
    assert (await run(context, shell, made(workspace), person, command="git log")).content == "ran git log"
    question = Question("shell", "shell git log", OutputView("git log"), "", "shell(git log)")
    assert person.events == [Asked(question), Answered(question, YES)]


async def test_a_refusal_is_told_with_the_persons_words(context: Context, workspace: Path, golden: Golden) -> None:
    person = Person([Decision(allowed=False, message="use make instead"), NO])
    errors = [await denied(run(context, shell, made(workspace), person, command="ls")) for _ in range(2)]
    assert [error.code for error in errors] == ["denied"] * 2
    golden(*map(str, errors))


async def test_always_is_not_asked_again_for_what_the_rule_says_only(context: Context, workspace: Path) -> None:
    person, policy = Person([ALWAYS, NO]), made(workspace)
    await run(context, shell, policy, person, command="git status")
    await run(context, shell, policy, person, command="git status -s")
    await denied(run(context, shell, policy, person, command="git status; rm -rf x"))
    assert [question.rule for question in person.asked] == ["shell(git status)", ""]


async def test_always_where_it_was_not_offered_allows_once(context: Context, workspace: Path) -> None:
    person, policy = Person([ALWAYS, NO]), made(workspace)
    await run(context, shell, policy, person, command="ls; ls")
    await denied(run(context, shell, policy, person, command="ls; ls"))


async def test_a_denial_by_rule_asks_nobody_and_is_counted(context: Context, workspace: Path, golden: Golden) -> None:
    person = Person([])
    error = await denied(
        run(context, shell, made(workspace, "yolo", deny=("shell(curl)",)), person, command="env curl x")
    )
    assert error.code == "denied"
    question = Question("shell", "shell env curl x", why=error.text)
    assert person.events == [Answered(question, Decision(allowed=False, message=error.text, by="policy"))]
    golden(error.text)


async def test_plan_mode_denies_and_says_what_to_do(context: Context, workspace: Path) -> None:
    error = await denied(run(context, shell, made(workspace, "plan"), Person([]), command="ls"))
    assert "plan mode" in str(error)
    assert "answer with the plan" in str(error)


async def test_with_nobody_there_the_policy_answers(context: Context, workspace: Path) -> None:
    person = Person([])
    guarded = wrap_with_approval(shell, policy=made(workspace), ask=refuse_all("pass -y"), emit=person.emit)
    error = await denied(run_tool(guarded, context, '{"command": "ls"}'))
    assert (error.code, error.text) == ("denied", "pass -y")
    answered = person.events[-1]
    assert isinstance(answered, Answered)
    assert answered.decision == Decision(allowed=False, message="pass -y", by="policy")


async def test_a_call_that_cannot_be_read_or_shown_asks_nobody(context: Context, workspace: Path) -> None:
    person = Person([])
    assert (await denied(run(context, shell, made(workspace), person, wrong=1))).code == "bad_arguments"
    assert (await denied(run(context, append, made(workspace), person, path="missing"))).code == "missing"
    assert person.events == []


async def test_what_changed_while_asking_is_asked_about_once_more(
    context: Context, workspace: Path, golden: Golden
) -> None:
    file = workspace / "a"
    file.write_text("one\n")
    person = Person([YES, YES])
    person.before_answering = lambda: file.write_text("two\n")
    assert (await run(context, append, made(workspace), person, path="a")).content == "done"
    assert [question.view for question in person.asked] == [TextView("one\n"), TextView("two\n")]
    assert file.read_text() == "two\nmore\n"
    golden(person.asked[1].why)


async def test_what_keeps_changing_while_asking_is_stale(context: Context, workspace: Path) -> None:
    file = workspace / "a"
    file.write_text("x")
    person = Person([YES, YES])

    def grow() -> None:
        with file.open("a") as opened:
            opened.write("x")

    person.before_answering = grow
    error = await denied(run(context, append, made(workspace), person, path="a"))
    assert error.code == "stale"
    assert file.read_text() == "xxx"


async def test_a_file_that_goes_away_while_asking_leaves_the_call_undone(context: Context, workspace: Path) -> None:
    (workspace / "a").write_text("x")
    person = Person([YES])
    person.before_answering = lambda: (workspace / "a").unlink()
    assert (await denied(run(context, append, made(workspace), person, path="a"))).code == "missing"
    assert not (workspace / "a").exists()


async def test_questions_come_one_at_a_time_and_an_always_settles_those_that_wait(
    context: Context, workspace: Path
) -> None:
    asked, open_now, most = 0, 0, 0

    async def ask(question: Question) -> Decision:
        nonlocal asked, open_now, most
        asked, open_now = asked + 1, open_now + 1
        most = max(most, open_now)
        for _ in range(5):
            await asyncio.sleep(0)
        open_now -= 1
        return ALWAYS if question.rule else YES

    policy, person = made(workspace), Person([])
    first = wrap_with_approval(shell, policy=policy, ask=ask, emit=person.emit)
    second = wrap_with_approval(
        replace(shell, description="another wrapped one"), policy=policy, ask=ask, emit=person.emit
    )
    calls = [run_tool(first, context, '{"command": "git log"}'), run_tool(second, context, '{"command": "git log -p"}')]
    calls += [run_tool(first, context, '{"command": "ls; ls"}'), run_tool(second, context, '{"command": "ls | ls"}')]
    await asyncio.gather(*calls)
    assert (asked, most) == (3, 1)


async def test_an_interrupted_question_frees_the_turn(context: Context, workspace: Path) -> None:
    started = asyncio.Event()

    async def never(question: Question) -> Decision:
        started.set()
        await asyncio.Event().wait()
        raise AssertionError

    policy, person = made(workspace), Person([YES])
    task = asyncio.ensure_future(
        run_tool(wrap_with_approval(shell, policy=policy, ask=never, emit=person.emit), context, '{"command": "a"}')
    )
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await run(context, shell, policy, person, command="b")).content == "ran b"


async def test_reading_outside_is_asked_once_with_the_resolved_path(
    context: Context, workspace: Path, tmp_path: Path, golden: Golden
) -> None:
    outside = tmp_path.resolve() / "outside.txt"
    outside.write_text("text")
    (workspace / "link").symlink_to(outside)
    person, policy = Person([YES]), made(workspace)
    assert (await run(context, read, policy, person, path="link")).content == "text"
    assert (await run(context, read, policy, person, path=str(outside))).content == "text"
    (question,) = person.asked
    assert question.rule == ""
    golden(question.title, OUTSIDE=str(outside))


async def test_a_sensitive_file_is_asked_about(context: Context, workspace: Path, golden: Golden) -> None:
    (workspace / ".env").write_text("KEY=1")
    person = Person([NO, YES])
    error = await denied(run(context, read, made(workspace), person, path=".env"))
    assert error.code == "denied"
    assert (await run(context, read, made(workspace), person, path=".env")).content == "KEY=1"
    golden(person.asked[0].title, ROOT=str(workspace))


async def test_a_path_outside_and_sensitive_is_asked_for_both(
    context: Context, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("KEY=1")
    person = Person([YES, YES])
    result = await run(context, read, made(workspace), person, path=str(tmp_path / ".env"))
    assert result.content == "KEY=1"
    assert 1 <= len(person.asked) <= 2


async def test_yolo_reads_outside_unasked(context: Context, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("KEY=1")
    person = Person([])
    assert (await run(context, read, made(workspace, "yolo"), person, path=str(tmp_path / ".env"))).content == "KEY=1"
    assert person.events == []


async def test_headless_does_not_read_outside(context: Context, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    person = Person([])
    guarded = wrap_with_approval(read, policy=made(workspace), ask=refuse_all("nobody there"), emit=person.emit)
    assert (await denied(run_tool(guarded, context, json.dumps({"path": str(tmp_path / "x")})))).code == "denied"
    assert [type(event) for event in person.events] == [Asked, Answered]


async def test_the_preview_of_an_edit_asks_for_what_it_has_to_read(context: Context, workspace: Path) -> None:
    (workspace / ".env").write_text("KEY=1\n")
    person = Person([YES, YES])
    assert (await run(context, append, made(workspace), person, path=".env")).content == "done"
    assert [question.title.split()[0] for question in person.asked] == ["read", "append"]


async def test_a_command_that_would_have_to_run_twice_is_not(context: Context, workspace: Path) -> None:
    runs = 0

    @tool(effect="execute")
    async def greedy(ctx: Context) -> str:
        """Act, then read outside."""
        nonlocal runs
        runs += 1
        return ctx.files.read("/etc/hostname-that-is-outside").path

    person = Person([YES])
    error = await denied(run(context, greedy, made(workspace), person))
    assert isinstance(error, NeedsConsent)
    assert (runs, len(person.asked)) == (1, 1)


async def test_a_call_that_asks_for_ever_new_paths_comes_to_an_end(context: Context, workspace: Path) -> None:
    count = 0

    @tool(effect="read")
    async def walk(ctx: Context) -> str:
        """Want more and more."""
        nonlocal count
        count += 1
        raise NeedsConsent("outside", f"/outside/{count}", "more")

    person = Person([YES] * 100)
    await denied(run(context, walk, made(workspace), person))
    assert len(person.asked) == 20


async def test_a_consent_that_does_not_help_is_not_asked_twice(context: Context, workspace: Path) -> None:
    @tool(effect="read")
    async def stubborn(ctx: Context) -> str:
        """Never content."""
        raise NeedsConsent("outside", "/outside", "again")

    person = Person([YES] * 3)
    await denied(run(context, stubborn, made(workspace), person))
    assert len(person.asked) == 1


async def test_the_built_in_shell_shows_its_command_and_runs_once(
    context: Context, workspace: Path, tool: Callable[[str], Tool]
) -> None:
    person = Person([YES])
    result = await run(context, tool("shell"), made(workspace), person, command="echo hi >> once; cat once")
    assert "hi" in result.content
    assert (workspace / "once").read_text() == "hi\n"
    view = person.asked[0].view
    assert isinstance(view, OutputView)
    assert view.command == "echo hi >> once; cat once"


async def test_the_built_in_edit_is_shown_as_the_diff_that_is_written(
    context: Context, workspace: Path, tool: Callable[[str], Tool]
) -> None:
    (workspace / "a.py").write_text("x = 1\n")
    person = Person([NO, YES])
    arguments = {"path": "a.py", "old_string": "x = 1", "new_string": "x = 2"}
    await denied(run(context, tool("edit_file"), made(workspace), person, **arguments))
    assert (workspace / "a.py").read_text() == "x = 1\n"
    await run(context, tool("edit_file"), made(workspace), person, **arguments)
    assert (workspace / "a.py").read_text() == "x = 2\n"
    assert "-x = 1" in str(person.asked[0].view)


async def test_a_catastrophe_runs_in_no_mode(context: Context, workspace: Path, tool: Callable[[str], Tool]) -> None:
    (workspace / "kept").write_text("x")
    for command in (f"rm -rf '{workspace}'", "rm -rf ./*", "rm -rf ../*", 'rm -rf "$NOTHING"/*'):
        error = await denied(run(context, tool("shell"), made(workspace, "yolo"), Person([]), command=command))
        assert error.code == "denied"
    assert (workspace / "kept").exists()
