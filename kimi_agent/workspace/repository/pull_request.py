"""A pull request: pushes the branch, and opens it with the user's own `gh`.

Both run with the user's own configuration and keys, and never with the repository's: the push starts from a private
git folder on the same objects, gh outside of the repository. Nothing is ever forced.
"""

import asyncio
import contextlib
import os
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.errors import ToolError, UserError
from kimi_agent.printable import escape_path
from kimi_agent.workspace.git.command import Git, GitFailed, decode_line
from kimi_agent.workspace.process.launch import find_trusted_program, is_within
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.repository.commit_message import subject_line
from kimi_agent.workspace.repository.head_state import HEADS_PREFIX, HeadState, read_head_state
from kimi_agent.workspace.repository.private_git_dir import extra_header_lines, make_private_git_dir
from kimi_agent.workspace.repository.remotes import Remote, find_base_repository, find_push_remote, read_remotes
from kimi_agent.workspace.repository.user_git_config import ConfigValue, read_user_config, user_git_environ

MAX_BODY_CHARS = 60_000  # characters; GitHub takes 65,536
PUSH_TIMEOUT_S, GH_TIMEOUT_S = 600, 120
_READ_KEYS = r"^(remote\.|url\.|extensions\.|branch\..*\.(pushremote|remote)$)"
_URL = re.compile(r"https://[^\s/]+/[^\s/]+/[^\s/]+/pull/\d+")
_MAIN = ("main", "master", "trunk")
# Stronger than the person's own settings: no hook, no tags, no signature, and only these protocols.
_PUSH_SETTINGS = (
    *("core.hooksPath=/dev/null", "core.fsmonitor=false", "push.followTags=false", "push.gpgSign=false"),
    *("push.recurseSubmodules=no", "submodule.recurse=false", "protocol.allow=never"),
    *("protocol.https.allow=always", "protocol.ssh.allow=always", "protocol.file.allow=always"),
)
_QUIET = {
    **dict.fromkeys(("GIT_TERMINAL_PROMPT", "GIT_OPTIONAL_LOCKS"), "0"),
    **dict.fromkeys(("GH_PROMPT_DISABLED", "GH_NO_UPDATE_NOTIFIER", "NO_COLOR"), "1"),
    "GCM_INTERACTIVE": "never",
    "GH_PAGER": "cat",
    "LC_ALL": "C",
}


@dataclass(frozen=True)
class PullRequest:
    """A pull request: what to push, and what gh is to open. `base` is "" for the default branch of `repository`."""

    remote: Remote
    repository: str
    branch: str
    commit: str
    head: str
    base: str
    title: str
    body: str

    @property
    def question(self) -> str:
        """The question to the person, on one line."""
        into = f"{self.repository} ({self.base or 'its default branch'})"
        return f"push {self.branch} to {self.remote.shown} and open a pull request in {into}"

    @property
    def commands(self) -> tuple[str, ...]:
        """The commands to run, as a person would type them."""
        push = ("git", "push", "--no-verify", self.remote.shown, f"{self.commit[:12]}:{HEADS_PREFIX}{self.branch}")
        return shlex.join(push), shlex.join(("gh", *self.gh_arguments("BODY.md")))

    def gh_arguments(self, body: str) -> tuple[str, ...]:
        """The arguments of gh; `body` is the file that holds the body."""
        base = ("--base", self.base) if self.base else ()
        where = ("--repo", self.repository, "--head", self.head, *base)
        return ("pr", "create", *where, "--title", self.title, "--body-file", body)


def plan_pull_request(
    workspace: Path, *, title: str, body: str, base: str = "", environ: Mapping[str, str]
) -> PullRequest:
    """Plan a pull request for the checked-out branch; blocking, and nothing is changed yet.

    `base` counts only where the remote has it. Raises UserError.
    """
    git = Git(workspace, environ=environ)
    state = read_head_state(git, workspace, home=environ.get("HOME", ""))
    if not state.branch or not state.head:
        raise UserError("There is no branch checked out that a pull request could be opened for.", 1)
    values = read_user_config(git.program, workspace, environ, _READ_KEYS)
    remote = find_push_remote(values, state.branch)
    path = remote.reached.removeprefix("file://")
    if path.startswith("/") and is_within(path, state.repository.top):
        raise UserError(f"The remote {escape_path(remote.name)} lies in the workspace itself ({remote.shown}).", 1)
    repository = find_base_repository(values, remote)
    if not repository:
        where = f"The remote {escape_path(remote.name)} ({remote.shown}) is no GitHub repository"
        raise UserError(f"{where}; {state.branch} holds the work.", 1)
    _find_gh(environ, state)
    base, default = _base(git, values, repository, base)
    if state.branch == (base or default) or (not (base or default) and state.branch in _MAIN):
        raise UserError(f"{state.branch} is the branch that a pull request would go into; commit on another one.", 1)
    if len(body) > MAX_BODY_CHARS:
        body = body[:MAX_BODY_CHARS] + "\n\n(cut here: GitHub takes no more)\n"
    head = state.branch if remote.repository == repository else f"{remote.owner}:{state.branch}"
    return PullRequest(remote, repository, state.branch, state.head, head, base, subject_line(title), body)


async def open_pull_request(
    plan: PullRequest, *, workspace: Path, runner: ProcessRunner, environ: Mapping[str, str]
) -> str:
    """Push the branch and open the pull request; gives its address, also of one that the branch had already.

    Raises UserError, which says what was done until then.
    """
    git = Git(workspace, environ=environ)
    state = await asyncio.to_thread(read_head_state, git, workspace, home=environ.get("HOME", ""))
    env = {**user_git_environ(environ), **_QUIET, "PATH": _own_path(environ, state)}
    with tempfile.TemporaryDirectory(prefix="kimi-agent-pr-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        private = make_private_git_dir(state.repository, scratch, width=len(plan.commit))
        values = await asyncio.to_thread(read_user_config, git.program, workspace, environ, r"^http\..*\.extraheader$")
        with (private / "config").open("a", encoding="utf-8", errors="surrogateescape") as config:
            config.write(extra_header_lines(values))
        settings = [word for setting in _PUSH_SETTINGS for word in ("-c", setting)]
        refs = f"{plan.commit}:{HEADS_PREFIX}{plan.branch}"
        push = [git.program, *settings, "push", "--quiet", "--no-verify", "--", plan.remote.url, refs]
        code, _, errors = await _run(runner, push, scratch, {**env, "GIT_DIR": str(private)}, PUSH_TIMEOUT_S)
        if code != 0:
            for address in (plan.remote.url, plan.remote.reached):
                errors = errors.replace(address, plan.remote.shown)
            why = _error_line(errors)
            raise UserError(f"{plan.branch} was committed, but not pushed to {plan.remote.shown}: {why}", 1)
        await asyncio.to_thread(_set_upstream, git, plan)
        body = scratch / "body.md"
        body.write_text(plan.body, "utf-8", "replace")
        gh = [_find_gh(environ, state), *plan.gh_arguments(str(body))]
        env["GIT_CEILING_DIRECTORIES"] = str(scratch.parent)
        code, out, errors = await _run(runner, gh, scratch, env, GH_TIMEOUT_S)
    # Where there is one already gh fails, and names it.
    found = _URL.search(out) or (_URL.search(errors) if "already exists" in errors else None)
    if found and (code == 0 or "already exists" in errors):
        return found[0]
    why = f"gh opened no pull request: {_error_line(errors or out)}"
    mend = f"mend it (gh auth status), then run: {plan.commands[1]}"
    raise UserError(f"{plan.branch} is pushed to {plan.remote.shown}, but {why}; {mend}", 1)


async def _run(
    runner: ProcessRunner, argv: Sequence[str], cwd: Path, env: Mapping[str, str], timeout_s: float
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr."""
    out = bytearray()

    def take(data: bytes) -> bool:
        out.extend(data[: 1_000_000 - len(out)])
        return True

    try:
        ended = await runner.feed(argv, take, timeout_s=timeout_s, cwd=cwd, env=env)
    except ToolError as error:
        raise UserError(f"{error.text}.", 1) from error
    errors = f"no answer within {timeout_s:,.0f} s" if ended.timed_out else ended.errors
    return -1 if ended.exit_code is None else ended.exit_code, out.decode("utf-8", "replace"), errors


def _base(git: Git, values: Sequence[ConfigValue], repository: str, wanted: str) -> tuple[str, str]:
    """The branch to merge into ("": the default), and what the default is as far as we know."""
    for remote in read_remotes(values):
        if remote.repository != repository:
            continue
        tracked = f"refs/remotes/{remote.name}/"
        default = decode_line(git.run("symbolic-ref", "--quiet", f"{tracked}HEAD", ok=(0, 1, 128)))
        known = wanted and git.run("rev-parse", "--quiet", "--verify", f"{tracked}{wanted}", ok=(0, 1, 128))
        return (wanted if known else ""), default.removeprefix(tracked)
    return "", ""


def _find_gh(environ: Mapping[str, str], state: HeadState) -> str:
    found = find_trusted_program("gh", path=environ.get("PATH", ""), root=state.repository.top)
    if found is None:
        text = "gh was not found on PATH: install it (https://cli.github.com) and run gh auth login"
        raise UserError(f"{text}; {state.branch} holds the work.", 69)
    return found


def _own_path(environ: Mapping[str, str], state: HeadState) -> str:
    """PATH without what the repository could put programs into: git and gh look there for ssh and helpers."""
    entries, top = user_git_environ(environ)["PATH"].split(os.pathsep), state.repository.top
    return os.pathsep.join(entry for entry in entries if entry.startswith("/") and not is_within(entry, top))


def _set_upstream(git: Git, plan: PullRequest) -> None:
    """Note where the branch was pushed to, as `git push -u` does."""
    branch, remote = plan.branch, plan.remote.name
    with contextlib.suppress(GitFailed, ValueError):
        git.run("update-ref", f"refs/remotes/{remote}/{branch}", plan.commit)
        if not git.run("config", "--get", f"branch.{branch}.remote", ok=(0, 1)):
            git.run("config", f"branch.{branch}.remote", remote)
            git.run("config", f"branch.{branch}.merge", HEADS_PREFIX + branch)


def _error_line(errors: str) -> str:
    """The line of `errors` that gives the reason."""
    lines = [row.strip() for row in errors.splitlines() if row.strip()]
    found = [row for row in lines if re.match(r"(fatal|error|remote|ERROR|HTTP|! |GraphQL|pull request)", row)]
    return escape_path((found or lines or ["it said nothing"])[0], 300)
