"""Pull requests: pushed with the person's configuration, never with the repository's; opened by their gh."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.workspace.process.process_runner import ProcessRunner
from kimi_agent.workspace.repository.private_git_dir import extra_header_lines
from kimi_agent.workspace.repository.pull_request import PullRequest, open_pull_request, plan_pull_request
from kimi_agent.workspace.repository.remotes import (
    find_base_repository,
    find_push_remote,
    github_repository,
    resolve_push_url,
)
from kimi_agent.workspace.repository.user_git_config import ConfigValue
from tests.builders import make_runner
from tests.golden_texts import Golden
from tests.workspace.own_repository import OwnRepository, own_repository

ADDRESS = "https://github.com/acme/tool/pull/7"


@pytest.fixture
def own(tmp_path: Path) -> OwnRepository:
    """A repository on a branch of its own, whose remote on GitHub is, by the person's settings, a folder beside it."""
    own = own_repository(tmp_path)
    bare = tmp_path / "far away.git"
    own.git("init", "--quiet", "--bare", str(bare))
    own.git("config", "--global", f"url.{bare}.insteadOf", "https://github.com/acme/tool.git")
    own.commit({"a": "a\n"})
    own.git("remote", "add", "origin", "https://github.com/acme/tool.git")
    own.git("push", "--quiet", "origin", "main")
    own.git("checkout", "--quiet", "-b", "kimi-agent/fix")
    own.commit({"a": "b\n"}, "fixed")
    return own


@pytest.fixture
async def runner(own: OwnRepository, tmp_path: Path) -> AsyncIterator[ProcessRunner]:
    made = make_runner(own.root, tmp_path, environ=own.environ)
    yield made
    await made.aclose()


def gh(own: OwnRepository, *, says: str = ADDRESS, complains: str = "", code: int = 0) -> OwnRepository:
    """The person with a gh on PATH, which notes what it was asked for."""
    folder = own.home / "bin"
    folder.mkdir(exist_ok=True)
    script = (
        "import json, os, sys\n"
        f"body = open(sys.argv[sys.argv.index('--body-file') + 1]).read()\n"
        f"json.dump([sys.argv[1:], body, os.getcwd(), dict(os.environ)], open({str(own.home / 'asked')!r}, 'w'))\n"
        f"print({says!r}); print({complains!r}, file=sys.stderr); sys.exit({code})\n"
    )
    (folder / "gh").write_text(f"#!{sys.executable} -IS\n{script}")
    (folder / "gh").chmod(0o755)
    return replace(own, environ={**own.environ, "PATH": f"{folder}:{own.environ['PATH']}", "GH_TOKEN": "t", "KEY": "k"})


def plan(own: OwnRepository, *, base: str = "", body: str = "All *green*.\n") -> PullRequest:
    return plan_pull_request(own.root, title="Fix the\nparser", body=body, base=base, environ=own.environ)


async def opened(own: OwnRepository, runner: ProcessRunner) -> str:
    made = await asyncio.to_thread(plan, own)
    return await open_pull_request(made, workspace=own.root, runner=runner, environ=own.environ)


async def test_the_branch_is_pushed_and_gh_opens_the_pull_request(
    own: OwnRepository, runner: ProcessRunner, tmp_path: Path, golden: Golden
) -> None:
    person = gh(own)
    made = plan(person, base="main")
    tip = own.git("rev-parse", "HEAD")
    far = tmp_path / "far away.git"
    golden(made.question, *made.commands, REMOTE=str(far), COMMIT=tip[:12])

    assert await open_pull_request(made, workspace=own.root, runner=runner, environ=person.environ) == ADDRESS

    assert own.git("rev-parse", "refs/heads/kimi-agent/fix", at=far) == tip
    assert own.git("status", "--porcelain", "--branch") == "## kimi-agent/fix...origin/kimi-agent/fix"
    argv, body, cwd, environ = json.loads((own.home / "asked").read_text())
    assert (argv[:2], argv[-1] != "BODY.md", body) == (["pr", "create"], True, "All *green*.\n")
    assert not Path(cwd).exists()
    assert not Path(cwd).is_relative_to(own.root)
    assert (environ["GH_TOKEN"], environ.get("KEY")) == ("t", None)


async def test_nothing_that_the_repository_configures_runs_or_leads_elsewhere(
    own: OwnRepository, runner: ProcessRunner, tmp_path: Path
) -> None:
    ran = own.home / "ran"
    for key in ("core.sshCommand", "credential.helper", "core.askPass", "core.fsmonitor", "remote.origin.receivepack"):
        own.git("config", key, f"touch '{ran}' #")
    own.git("config", "remote.origin.vcs", "evil")
    own.git("config", f"url.{tmp_path / 'elsewhere.git'}.pushInsteadOf", "https://github.com/acme/")
    hook = own.root / ".git/hooks/pre-push"
    hook.parent.mkdir(exist_ok=True)
    for name in ("pre-push", "reference-transaction"):
        hook.with_name(name).write_text(f"#!/bin/sh\ntouch '{ran}'\n")
        hook.with_name(name).chmod(0o755)
    (own.root / "git").write_text(f"#!/bin/sh\ntouch '{ran}'\n")
    (own.root / "git").chmod(0o755)
    person = gh(own)
    person = replace(person, environ={**person.environ, "PATH": f".:{own.root}:{person.environ['PATH']}"})

    assert await opened(person, runner) == ADDRESS

    assert not ran.exists()
    assert str(own.root) not in json.loads((own.home / "asked").read_text())[3]["PATH"].split(":")


async def test_what_gh_or_the_remote_says_is_shown_and_the_work_is_kept(
    own: OwnRepository, runner: ProcessRunner, golden: Golden
) -> None:
    there = f'a pull request for branch "kimi-agent/fix" into branch "main" already exists:\n{ADDRESS}\n'
    assert await opened(gh(own, says="", complains=there, code=1), runner) == ADDRESS

    login = "To get started with GitHub CLI, please run:  gh auth login\x1b[2J\nmore"
    with pytest.raises(UserError) as refused:
        await opened(gh(own, says="", complains=login, code=4), runner)
    golden(str(refused.value), FOLDER=str(own.home.parent))


@pytest.mark.long
async def test_a_remote_that_holds_other_work_is_never_forced(own: OwnRepository, runner: ProcessRunner) -> None:
    own.git("push", "--quiet", "origin", "kimi-agent/fix")
    own.git("commit", "--quiet", "--amend", "--allow-empty", "--message", "another way")
    with pytest.raises(UserError, match=r"was committed, but not pushed to .*rejected"):
        await opened(gh(own), runner)


def test_what_cannot_become_a_pull_request_is_refused_before_anything_is_done(
    own: OwnRepository, golden: Golden
) -> None:
    refusals = [refusal(replace(own, environ={**own.environ, "PATH": f"{own.root}:{own.environ['PATH']}"}))]
    person = gh(own)
    assert plan(person, base="never-pushed").base == ""
    assert len(plan(person, body="x" * 100_000).body) < 65_536
    own.git("checkout", "--quiet", "main")
    refusals.append(refusal(person))
    own.git("checkout", "--quiet", "--detach")
    refusals.append(refusal(person))
    own.git("checkout", "--quiet", "kimi-agent/fix")
    for url in (str(own.root / "bare.git"), "/srv/x"):
        own.git("remote", "set-url", "origin", url)
        refusals.append(refusal(person))
    golden(*refusals, ROOT=str(own.root))


def refusal(person: OwnRepository) -> str:
    with pytest.raises(UserError) as refused:
        plan(person)
    return str(refused.value)


@pytest.mark.parametrize(
    ("url", "repository"),
    [
        ("https://github.com/acme/tool.git", "github.com/acme/tool"),
        ("https://x-access-token:secret@github.com/acme/tool", "github.com/acme/tool"),
        ("git@github.com:acme/tool.git", "github.com/acme/tool"),
        ("git@github-work:acme/to.ol.git", "github.com/acme/to.ol"),
        ("ssh://git@ghe.example.com:2222/acme/tool.git", "ghe.example.com/acme/tool"),
        ("ssh://git@ssh.github.com:443/acme/tool.git", "github.com/acme/tool"),
        ("/srv/acme/tool.git", ""),
        ("file:///acme/tool", ""),
        ("https://github.com/acme", ""),
        ("https://[bad/acme/tool", ""),
        ("https://github.com/-acme/tool", ""),
    ],
)
def test_a_remote_address_names_a_repository_on_github(url: str, repository: str) -> None:
    assert github_repository(url) == repository


def values(*rows: str) -> Sequence[ConfigValue]:
    return [ConfigValue(scope, key, value) for scope, key, value in (row.split(" ", 2) for row in rows)]


def test_the_remote_is_the_one_that_git_would_push_to(golden: Golden) -> None:
    two = ("local remote.fork.url git@github.com:me/tool", "local remote.upstream.url https://github.com/acme/tool")
    with pytest.raises(UserError) as refused:
        find_push_remote(values(*two), "b")
    golden(str(refused.value))
    fork = find_push_remote(values(*two, "global remote.pushdefault upstream", "local branch.b.pushremote fork"), "b")
    assert (fork.name, fork.owner, find_base_repository(values(*two), fork)) == ("fork", "me", "github.com/acme/tool")
    chosen = values(*two, "local remote.fork.gh-resolved base")
    assert find_base_repository(chosen, fork) == "github.com/me/tool"
    assert find_base_repository(values(*two, "local remote.fork.gh-resolved other/one"), fork) == "github.com/other/one"
    secret = find_push_remote(values("local remote.o.url https://me:secret@github.com/acme/tool"), "b")
    assert secret.shown == "https://***@github.com/acme/tool"


@pytest.mark.parametrize(
    "url",
    [
        *("ext::evil", "http://github.com/a/b", "git://github.com/a/b", "https://-evil/a/b", "-o/x", "../there"),
        *("--upload-pack=x:y", "file::/x", "https://github.com/a/b\x1b[2J", "", "a:b\nc"),
    ],
)
def test_an_address_that_could_run_something_is_refused(url: str) -> None:
    for rows in (
        [f"local remote.origin.url {url}"],
        [f"global url.{url}.insteadof https://x/", "local remote.origin.url https://x/"],
    ):
        with pytest.raises(UserError, match="neither https, ssh nor a path") as refused:
            find_push_remote(values(*rows), "b")
        assert str(refused.value).isprintable()


def test_of_the_repositorys_own_settings_only_the_key_of_ci_is_taken_over(own: OwnRepository, tmp_path: Path) -> None:
    header = 'AUTHORIZATION: basic "x\\y" # z'
    rows = [
        ConfigValue("local", "http.https://github.com/.extraheader", header),
        ConfigValue("local", 'http.https://x"]\n[core]sshCommand=evil\n[a "b.extraheader', "x"),
        ConfigValue("global", "http.https://mine/.extraheader", "counts anyway"),
    ]
    (tmp_path / "config").write_text(extra_header_lines(rows))
    assert (
        own.git("config", "--file", str(tmp_path / "config"), "--list")
        == f"http.https://github.com/.extraheader={header}"
    )


def test_without_a_remote_the_mend_is_named(golden: Golden) -> None:
    with pytest.raises(UserError) as refused:
        find_push_remote((), "b")
    golden(str(refused.value))


def test_the_persons_longest_rule_says_where_a_push_goes() -> None:
    rules = values(
        "global url.git@github.com:.insteadof https://github.com/",
        "global url.git@work:.insteadof https://github.com/acme/",
        "local url.evil:.insteadof https://github.com/acme/tool",
    )
    assert resolve_push_url(rules, "https://github.com/acme/tool") == "git@work:tool"
    assert resolve_push_url(rules, "https://gitlab.com/x") == "https://gitlab.com/x"
    assert resolve_push_url(values("global url.a:.pushinsteadof g:", "global url.b:.insteadof g:x"), "g:x") == "a:x"
