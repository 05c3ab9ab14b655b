"""Built-in tools behind the approval: what is judged is what would run or be written, whatever the call says."""

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.guard.policy.policy import PermissionMode, Policy, Rules
from kimi_agent.guard.tool_wrappers.approval import wrap_with_approval
from kimi_agent.log.events import Event, Stamped
from kimi_agent.log.questions import Decision, Question
from kimi_agent.tool import Context, Field, FileChange, Tool
from kimi_agent.tool import tool as make_tool
from kimi_agent.workspace.repository.hooks_folders import make_hooks_lookup
from kimi_agent.workspace.testrun import ProjectTests
from tests.builders import make_files, make_runner
from tests.tool_calls import run_tool

Load = Callable[[str], Tool]
ACCEPT: PermissionMode = "accept-edits"


class Guarded:
    """The built-in tools in a workspace, behind a policy; each question gets the next answer, else a no."""

    def __init__(self, tool: Load, context: Context, policy: Policy, answers: Sequence[Decision] = ()) -> None:
        self.tool, self.context, self.policy = tool, context, policy
        self.answers = list(answers)
        self.questions: list[Question] = []
        self.meanwhile: Callable[[], object] = lambda: None

    async def call(self, name: str, **arguments: object) -> str:
        """What a call comes to: done, asked (and refused) or the code of its error."""
        before = len(self.questions)
        guarded = wrap_with_approval(self.tool(name), policy=self.policy, ask=self._ask, emit=self._emit)
        try:
            await run_tool(guarded, self.context, json.dumps(arguments))
        except ToolError as error:
            asked = len(self.questions) > before
            return "asked" if asked and error.code == "denied" else error.code
        return "done"

    async def _ask(self, question: Question) -> Decision:
        self.questions.append(question)
        self.meanwhile()
        return self.answers.pop(0) if self.answers else Decision(allowed=False)

    @staticmethod
    def _emit(event: Event) -> Stamped:
        return Stamped("main", 1, 0.0, event)


Guard = Callable[..., Guarded]


@pytest.fixture
def guard(tool: Load, context: Context, workspace: Path, tmp_path: Path) -> Guard:
    """Make the guarded tools: mode, allow, deny, and `start`, the folder that the session began in."""

    def make(
        mode: PermissionMode = "ask",
        *,
        allow: Sequence[str] = (),
        deny: Sequence[str] = (),
        start: str = "",
        added: Sequence[Path] = (),
        answers: Sequence[Decision] = (),
    ) -> Guarded:
        cwd, state = workspace / start, tmp_path / "state"
        files = make_files(workspace, state, home=tmp_path / "home", cwd=cwd, added=added)
        runner = make_runner(workspace, state, cwd=cwd, outputs=files.outputs)
        ctx = replace(context, files=files, runner=runner, testrun=ProjectTests(files, runner))
        hooks = make_hooks_lookup(workspace, {**os.environ, "HOME": str(tmp_path / "home")})
        policy = Policy(
            mode,
            Rules.parse(allow, deny),
            workspace=workspace,
            home=tmp_path / "home",
            added=added,
            start=cwd,
            hooks_folders=hooks,
        )
        return Guarded(tool, ctx, policy, answers)

    return make


@pytest.fixture
def mark(workspace: Path) -> Path:
    """What a command of a test makes if it runs."""
    return workspace / "MARK"


def agents_file(workspace: Path, command: str) -> None:
    (workspace / "AGENTS.md").write_text(f"Test command: `{command}`\n")


ALWAYS = Decision(allowed=True, always=True)
YES = Decision(allowed=True)


# The test command is judged, wherever it comes from.


@pytest.mark.parametrize("command", ["rm -rf {home}", "rm -r -f {home}/", "chmod -R 777 {home}", "rm -rf {around}"])
@pytest.mark.parametrize("mode", ["ask", "yolo"])
async def test_a_catastrophe_in_agents_md_is_refused_as_in_the_shell(
    mode: PermissionMode, command: str, guard: Guard, workspace: Path
) -> None:
    command = command.format(home=workspace.parent / "home", around=workspace.parent)
    agents_file(workspace, command)
    guarded = guard(mode, allow=("run_tests", "shell"))
    assert await guarded.call("run_tests") == "denied"
    assert await guarded.call("run_tests", command=command) == "denied"
    assert await guarded.call("shell", command=command) == "denied"


async def test_what_no_snapshot_brings_back_is_asked_in_agents_md_too(guard: Guard, workspace: Path) -> None:
    agents_file(workspace, "git push --force origin HEAD")
    assert await guard("yolo").call("run_tests") == "asked"


@pytest.mark.parametrize("allow", [(), ("run_tests",), ("shell",)])
async def test_a_denied_command_is_denied_in_agents_md_too(
    allow: tuple[str, ...], guard: Guard, workspace: Path, mark: Path
) -> None:
    agents_file(workspace, "touch MARK")
    assert await guard("yolo", allow=allow, deny=("shell(touch)",)).call("run_tests") == "denied"
    assert not mark.exists()


async def test_a_rule_for_run_tests_says_nothing_of_a_command_that_a_text_names(
    guard: Guard, workspace: Path, mark: Path
) -> None:
    agents_file(workspace, "touch MARK")
    guarded = guard(ACCEPT, allow=("run_tests",))
    assert await guarded.call("run_tests") == "asked"
    assert not mark.exists()
    assert await guard(ACCEPT, allow=("run_tests", "shell(=touch MARK)")).call("run_tests") == "done"
    assert mark.exists()


async def test_always_for_one_test_command_is_not_for_the_next_one(guard: Guard, workspace: Path, mark: Path) -> None:
    agents_file(workspace, "true")
    guarded = guard(ACCEPT, answers=[ALWAYS])
    assert await guarded.call("run_tests") == "done"
    assert guarded.questions[0].rule == "shell(=true)"
    assert await guarded.call("run_tests") == "done"
    assert len(guarded.questions) == 1
    agents_file(workspace, "touch MARK")
    assert await guarded.call("run_tests") == "asked"
    assert not mark.exists()


async def test_a_command_that_worked_is_judged_when_it_is_used_again(guard: Guard, workspace: Path, mark: Path) -> None:
    (workspace / "test_a.py").write_text("def test_a(): pass\n")
    guarded = guard(answers=[YES])
    assert await guarded.call("run_tests", command="touch MARK; python -m pytest -q") == "done"
    mark.unlink()
    assert await guarded.call("run_tests") == "asked"
    assert not mark.exists()


async def test_a_test_command_that_changes_while_a_person_is_asked_is_asked_about_again(
    guard: Guard, workspace: Path, mark: Path
) -> None:
    agents_file(workspace, "true")
    guarded = guard(answers=[YES])
    guarded.meanwhile = lambda: agents_file(workspace, "touch MARK")
    assert await guarded.call("run_tests") == "asked"
    assert [question.why for question in guarded.questions][1] == "what it would do has changed while you were asked"
    assert not mark.exists()


async def test_what_a_rule_allowed_is_the_command_that_starts(guard: Guard, workspace: Path, mark: Path) -> None:
    """The plan is held against the run itself: nobody is asked here, and the text changes in between."""
    agents_file(workspace, "true")
    guarded = guard("yolo")
    plan = await guarded.tool("run_tests").plan(guarded.context, guarded.tool("run_tests").parse("{}")[0])
    agents_file(workspace, "touch MARK")
    with pytest.raises(ToolError) as caught:
        await run_tool(guarded.tool("run_tests"), replace(guarded.context, plan=plan), "{}")
    assert caught.value.code == "stale"
    assert not mark.exists()


async def test_the_persons_own_command_and_our_runners_are_run_tests(guard: Guard, workspace: Path) -> None:
    (workspace / "test_a.py").write_text("def test_a(): pass\n")
    assert await guard(allow=("run_tests",)).call("run_tests") == "done"
    assert await guard("yolo", deny=("shell(pytest)",)).call("run_tests") == "denied"


async def test_a_test_command_of_a_trusted_project_is_a_text_of_the_repository(
    guard: Guard, workspace: Path, mark: Path
) -> None:
    guarded = guard(allow=("run_tests",))
    files, runner = guarded.context.files, guarded.context.runner
    theirs = ProjectTests(files, runner, command="touch MARK", command_source="repository")
    guarded.context = replace(guarded.context, testrun=theirs)
    assert await guarded.call("run_tests") == "asked"
    assert not mark.exists()
    guarded.context = replace(guarded.context, testrun=ProjectTests(files, runner, command="touch MARK"))
    assert await guarded.call("run_tests") == "done"


async def test_a_runner_of_our_table_is_asked_about_without_a_reason(guard: Guard, workspace: Path) -> None:
    (workspace / "test_a.py").write_text("def test_a(): pass\n")
    guarded = guard()
    assert await guarded.call("run_tests") == "asked"
    assert (guarded.questions[0].why, guarded.questions[0].rule) == ("", "run_tests")


async def test_a_denied_shell_is_denied_to_run_tests(guard: Guard, mark: Path) -> None:
    for rule in ("shell", "execute"):
        assert await guard("yolo", deny=(rule,)).call("run_tests", command="touch MARK") == "denied"
    assert not mark.exists()


async def test_a_denial_of_tests_holds_for_their_targets(guard: Guard, workspace: Path) -> None:
    for folder in ("slow", "fast"):
        (workspace / folder).mkdir()
        (workspace / folder / f"test_{folder}.py").write_text("def test_a(): pass\n")
    guarded = guard("yolo", deny=("run_tests(slow/**)",))
    assert await guarded.call("run_tests", targets=["slow/test_slow.py"]) == "denied"
    assert await guarded.call("run_tests", targets=["fast/../slow"]) == "denied"
    assert await guarded.call("run_tests") == "denied"  # all of them: the slow ones too
    assert await guarded.call("run_tests", targets=["fast"]) == "done"


# A yes covers the folder that it was given for.


def plant_bare_repository(folder: Path) -> None:
    """A folder that git takes for a repository, with harmless settings."""
    subprocess.run(["git", "init", "-q", "--bare", folder], check=True)


async def test_a_rule_for_git_holds_in_the_workspaces_own_repository_only(guard: Guard, workspace: Path) -> None:
    subprocess.run(["git", "init", "-q", workspace], check=True)
    (workspace / "src").mkdir()
    (workspace / "nested").mkdir()
    subprocess.run(["git", "init", "-q", workspace / "nested"], check=True)
    plant_bare_repository(workspace / "planted")
    guarded = guard(allow=("shell(git status)",))
    assert await guarded.call("shell", command="git status") == "done"
    assert await guarded.call("shell", command="git status", cwd="src") == "done"
    assert await guarded.call("shell", command="git status", cwd="planted") == "asked"
    assert await guarded.call("shell", command="git status", cwd="nested") == "asked"
    assert "another repository" in guarded.questions[-1].why


async def test_a_shell_does_not_obey_a_bare_repository_that_was_planted(guard: Guard, workspace: Path) -> None:
    subprocess.run(["git", "init", "-q", workspace], check=True)
    plant_bare_repository(workspace / "planted")
    guarded = guard("yolo")
    found = await guarded.context.runner.shell("git rev-parse --git-dir", timeout_s=20, cwd=workspace / "planted")
    assert found.exit_code == 128
    assert "safe.bareRepository" in found.text


async def test_always_holds_in_the_folder_that_was_shown(guard: Guard, workspace: Path) -> None:
    for folder in ("one", "two"):
        (workspace / folder).mkdir()
    guarded = guard(answers=[ALWAYS])
    assert await guarded.call("shell", command="make --version", cwd="one") == "done"
    assert guarded.questions[0].rule == "shell(=make --version) in one"
    assert await guarded.call("shell", command="make --version", cwd="one") == "done"
    assert await guarded.call("shell", command="make --version", cwd="two") == "asked"
    assert await guarded.call("shell", command="make --version", cwd=".") == "asked"


@pytest.mark.parametrize(
    ("rule", "folder", "outcome"),
    [
        ("shell(make --version)", ".", "done"),
        ("shell(make --version)", "pkg", "asked"),
        ("shell(make --version) in pkg", "pkg", "done"),
        ("shell(make --version) in pkg", "pkg/a", "asked"),
        ("shell(make --version) in pkg/**", "pkg/a", "done"),
        ("shell(make --version) in pkg/**", ".", "asked"),
        ("shell(ls)", "pkg/a", "done"),  # it reads what it is given, wherever it is
    ],
)
async def test_a_rule_holds_in_the_folder_it_names(
    rule: str, folder: str, outcome: str, guard: Guard, workspace: Path
) -> None:
    (workspace / "pkg/a").mkdir(parents=True)
    command = rule.partition("(")[2].partition(")")[0]
    assert await guard(allow=(rule,)).call("shell", command=command, cwd=folder) == outcome


async def test_a_rule_holds_where_the_session_began(guard: Guard, workspace: Path) -> None:
    (workspace / "sub").mkdir()
    assert await guard(allow=("shell(make --version)",), start="sub").call("shell", command="make --version") == "done"


# One resolver: the file that is judged is the file that is opened.


@pytest.mark.parametrize("mode", [ACCEPT, "yolo"])
async def test_a_denied_file_is_denied_through_links_and_dots(
    mode: PermissionMode, guard: Guard, workspace: Path
) -> None:
    (workspace / "a/b").mkdir(parents=True)
    (workspace / "l").symlink_to("a/b")
    (workspace / "private/in").mkdir(parents=True)
    (workspace / "private/p.txt").write_text("canary\n")
    (workspace / "p").symlink_to("private/in")
    guarded = guard(mode, deny=("write(a/**)", "read(private/**)"))
    for path in ("l/../x", "a/x", "l/x", "A/x" if (workspace / "A").exists() else "a/b/../x", str(workspace / "a/x")):
        assert await guarded.call("write_file", path=path, content="x") == "denied"
    for path in ("p/../p.txt", "private/p.txt", str(workspace / "private/p.txt"), "private/in/../p.txt"):
        assert await guarded.call("read_file", path=path) == "denied"
    assert not (workspace / "a/x").exists()


async def test_an_allowance_is_for_where_the_path_leads(guard: Guard, workspace: Path) -> None:
    (workspace / "docs").mkdir()
    (workspace / "src/in").mkdir(parents=True)
    (workspace / "docs/l").symlink_to("../src/in")
    guarded = guard(allow=("write(docs/**)",))
    assert await guarded.call("write_file", path="docs/l/../evil.py", content="x") == "asked"
    assert await guarded.call("write_file", path="docs/l/evil.py", content="x") == "asked"
    assert await guarded.call("write_file", path="docs/good.md", content="x") == "done"
    assert sorted(path.name for path in (workspace / "src").rglob("*")) == ["in"]


async def test_starting_in_a_subfolder_switches_no_denial_off(guard: Guard, workspace: Path) -> None:
    for folder in ("sub", "src", "private", ".vscode"):
        (workspace / folder).mkdir()
    (workspace / "private/p.txt").write_text("canary\n")
    (workspace / "src/a.py").write_text("x = 1\n")
    (workspace / "docs").symlink_to(".vscode")
    guarded = guard(ACCEPT, start="sub", deny=("write(src/**)", "read(private/**)"))
    assert await guarded.call("read_file", path="private/p.txt") == "denied"
    assert await guarded.call("edit_file", path="src/a.py", old_string="1", new_string="2") == "denied"
    assert await guarded.call("write_file", path="docs/tasks.json", content="{}") == "asked"
    allowed = guard(start="sub", allow=("write(sub/**)",))
    await allowed.call("read_file", path="src/a.py")
    assert await allowed.call("edit_file", path="src/a.py", old_string="1", new_string="2") == "asked"
    assert await allowed.call("write_file", path="new.py", content="x") == "done"
    assert (workspace / "sub/new.py").exists()


@pytest.mark.parametrize("prefixes", [("a", "b"), ("i", "w"), ("c", "i"), ("old", "new")])
async def test_a_patch_is_judged_by_the_file_that_it_changes(
    prefixes: tuple[str, str], guard: Guard, workspace: Path
) -> None:
    (workspace / "src").mkdir()
    (workspace / "src/a.py").write_text("x = 1\n")
    one, other = prefixes
    diff = f"diff --git {one}/src/a.py {other}/src/a.py\n--- {one}/src/a.py\n+++ {other}/src/a.py\n"
    diff += "@@ -1 +1 @@\n-x = 1\n+x = 2\n"
    denied = guard("yolo", deny=("write(src/**)",))
    await denied.call("read_file", path="src/a.py")
    assert await denied.call("apply_patch", patch=diff) in ("denied", "missing", "not_found")
    spelled = guard(allow=(f"write({other}/**)",))
    await spelled.call("read_file", path="src/a.py")
    assert await spelled.call("apply_patch", patch=diff) != "done"
    assert (workspace / "src/a.py").read_text() == "x = 1\n"


async def test_an_added_folder_goes_by_its_absolute_path(guard: Guard, workspace: Path, tmp_path: Path) -> None:
    added = tmp_path / "added"
    (added / "docs").mkdir(parents=True)
    guarded = guard(allow=("write(docs/**)", "write(*.md)"), added=[added])
    assert await guarded.call("write_file", path=str(added / "docs/x.md"), content="x") == "asked"
    assert await guarded.call("write_file", path="docs/x.md", content="x") == "done"
    by_path = guard(allow=(f"write({added}/docs/**)",), added=[added])
    assert await by_path.call("write_file", path=str(added / "docs/x.md"), content="x") == "done"
    assert (
        await guard(ACCEPT, deny=("write(*.md)",), added=[added]).call(
            "write_file", path=str(added / "docs/y.md"), content="x"
        )
        == "denied"
    )


async def test_a_name_of_a_rule_that_is_a_link_is_where_it_leads(guard: Guard, workspace: Path) -> None:
    (workspace / "releases/1").mkdir(parents=True)
    (workspace / "current").symlink_to("releases/1")
    (workspace / "conf").mkdir()
    (workspace / ".vscode").symlink_to("conf")
    guarded = guard("yolo", deny=("write(current/**)",))
    assert await guarded.call("write_file", path="releases/1/c.py", content="x") == "denied"
    assert await guarded.call("write_file", path="current/c.py", content="x") == "denied"
    assert await guarded.call("write_file", path="releases/2/c.py", content="x") == "done"
    assert await guarded.call("write_file", path="conf/tasks.json", content="{}") == "asked"


# What other programs obey.


@pytest.mark.parametrize(
    "path",
    [
        *(".bashrc", ".profile", ".zshenv", ".gitconfig", ".config/git/config", ".ssh/authorized_keys", ".npmrc"),
        *(".claude/settings.json", ".codex/config.toml", ".cursor/mcp.json", ".github/workflows/ci.yml", ".husky/x"),
        *(".githooks/pre-commit", ".gitlab-ci.yml", ".envrc", "sub/.vscode/tasks.json", ".GITHUB/Workflows/ci.yml"),
        *(".cargo/config.toml", "Jenkinsfile", ".pre-commit-config.yaml", ".config/fish/config.fish"),
    ],
)
@pytest.mark.parametrize("mode", [ACCEPT, "yolo"])
async def test_what_other_programs_obey_is_asked_about(mode: PermissionMode, path: str, guard: Guard) -> None:
    guarded = guard(mode, allow=("write",))
    assert await guarded.call("write_file", path=path, content="x") == "asked"
    assert guarded.questions[0].rule == ""


@pytest.mark.parametrize("where", ["scripts/hooks", "tools"])
async def test_the_folder_that_git_takes_hooks_from_is_protected(where: str, guard: Guard, workspace: Path) -> None:
    subprocess.run(["git", "init", "-q", workspace], check=True)
    (workspace / where).mkdir(parents=True)
    guarded = guard("yolo")
    assert await guarded.call("write_file", path=f"{where}/pre-commit", content="x") == "done"
    subprocess.run(["git", "-C", workspace, "config", "core.hooksPath", where], check=True)
    assert await guarded.call("write_file", path=f"{where}/pre-push", content="x") == "asked"


async def test_a_tool_writes_no_protected_file_that_its_call_did_not_name(guard: Guard, workspace: Path) -> None:
    """A tool of the person's own that writes where it likes: the files themselves hold the denials."""

    @make_tool(effect="write")
    async def scatter(ctx: Context, where: Annotated[str, Field("A path.")]) -> str:
        """Write a file that no argument called path names."""
        ctx.files.commit([FileChange(where, None, b"x")])
        return "done"

    guarded = guard(ACCEPT, deny=("write(closed/**)",))
    guarded.tool = lambda name: scatter
    assert await guarded.call("scatter", where="open/a") == "done"
    assert await guarded.call("scatter", where="closed/a") == "denied"
    assert await guarded.call("scatter", where=".vscode/tasks.json") == "denied"
    assert not (workspace / "closed").exists()


async def test_a_tool_that_says_it_reads_writes_nothing(guard: Guard, workspace: Path) -> None:
    @make_tool(effect="read")
    async def peek(ctx: Context, where: Annotated[str, Field("A path.")]) -> str:
        """Say that it reads, and write."""
        ctx.files.commit([FileChange(where, None, b"x")])
        return "done"

    for mode in ("plan", "yolo"):
        guarded = guard(mode)
        guarded.tool = lambda name: peek
        assert await guarded.call("peek", where="a") == "denied"
    assert not (workspace / "a").exists()
