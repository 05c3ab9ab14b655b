"""The harness's git in hostile repositories: nothing that a repository can name is ever run."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from kimi_agent.errors import UserError
from kimi_agent.workspace.checkpoint import Checkpoints
from kimi_agent.workspace.git.command import Git, GitFailed, GitMissing, find_git, make_index_check
from kimi_agent.workspace.git.git_folder import find_repository
from kimi_agent.workspace.git.hardening import ALLOWED_SUBCOMMANDS, find_refused_argument, override_settings

HOOKS = (
    *("applypatch-msg", "pre-applypatch", "post-applypatch", "pre-commit", "pre-merge-commit", "prepare-commit-msg"),
    *("commit-msg", "post-commit", "pre-rebase", "post-checkout", "post-merge", "pre-push", "post-rewrite"),
    *("pre-auto-gc", "post-index-change", "reference-transaction", "fsmonitor-watchman", "sendemail-validate"),
)
PLAIN = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.com",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.com",
}
WHO = {name: value for name, value in PLAIN.items() if "AUTHOR" in name or "COMMITTER" in name}


def plain_git(folder: Path, *args: str, check: bool = True) -> str:
    """git as anybody runs it."""
    done = subprocess.run(
        ["git", *args],
        cwd=folder,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("GIT_")}, **PLAIN},
        capture_output=True,
        text=True,
        check=check,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout


class Hostile:
    """A repository full of traps; each leaves a file in `marks` when it runs."""

    def __init__(self, top: Path, marks: Path) -> None:
        self.top = top
        self.marks = marks
        marks.mkdir()
        top.mkdir()
        plain_git(top, "init", "-q", "-b", "main")
        for name in ("a.c", "p.p", "i.i", "w.w", "g.g"):
            (top / name).write_text("one\ntwo\n")
        attributes = "*.c filter=evil diff=evil merge=evil\n*.p filter=proc\n*.i filter=inc\n*.w filter=wt\n"
        (top / ".gitattributes").write_text(attributes)
        (top / "tracked.cfg").write_text(
            f'[filter "inc"]\n\tclean = {self.trap("include-clean")}\n\tsmudge = {self.trap("include-smudge")}\n'
        )
        self.embedded_bare()
        self.submodule()
        plain_git(top, "add", "-A")
        plain_git(top, "commit", "-qm", "first")
        plain_git(top, "branch", "other")
        # Of the same size, so that git has to read them, through their filters, to see that they changed.
        for name in ("a.c", "p.p", "i.i", "w.w", "g.g"):
            (top / name).write_text("two\none\n")
        for hook in HOOKS:
            path = top / ".git" / "hooks" / hook
            path.parent.mkdir(exist_ok=True)
            path.write_text(f"#!/bin/sh\n{self.trap('hook-' + hook, feed=False)}\n")
            path.chmod(0o755)
        with (top / ".git" / "config").open("a") as config:
            config.write(self.config())
        (top / ".git" / "config.worktree").write_text(
            f'[filter "wt"]\n\tclean = {self.trap("worktree-clean")}\n\tsmudge = {self.trap("worktree-smudge")}\n'
        )
        (top / ".git" / "info" / "attributes").write_text("*.g filter=evil\n")

    def trap(self, name: str, *, feed: bool = True) -> str:
        """A command that leaves the mark, and hands its input on as a filter would."""
        return f"touch {self.marks}/{name}" + ("; cat" if feed else "")

    def config(self) -> str:
        trap = self.trap
        return f"""
[core]
	fsmonitor = {self.script("fsmonitor")}
	pager = {trap("core.pager")}
	editor = {trap("core.editor", feed=False)} #
	askPass = {self.script("core.askpass")}
	sshCommand = {trap("core.sshcommand", feed=False)} #
	gitProxy = {self.script("core.gitproxy")}
	alternateRefsCommand = {trap("core.alternaterefs", feed=False)} #
	worktree = {self.top.parent}
[extensions]
	worktreeConfig = true
[include]
	path = ../tracked.cfg
[filter "evil"]
	clean = {trap("clean")}
	smudge = {trap("smudge")}
	required = true
[filter "proc"]
	process = {trap("process", feed=False)} #
	required = true
[diff]
	external = {self.script("diff.external")}
[diff "evil"]
	textconv = {self.script("textconv")}
	command = {self.script("diff.command")}
[merge "evil"]
	driver = {trap("merge.driver", feed=False)} #
[merge]
	verifySignatures = true
[alias]
	status = !{trap("alias-status", feed=False)}
	mine = !{trap("alias-mine", feed=False)}
[pager]
	log = {trap("pager.log")}
	status = {trap("pager.status")}
	diff = {trap("pager.diff")}
[gpg]
	program = {self.script("gpg.program")}
	format = openpgp
[gpg "ssh"]
	program = {self.script("gpg.ssh.program")}
	defaultKeyCommand = {self.script("gpg.ssh.defaultkey")}
[commit]
	gpgSign = true
	verbose = true
[tag]
	gpgSign = true
[log]
	showSignature = true
[credential]
	helper = !{trap("credential.helper", feed=False)}
[credential "https://example.invalid"]
	helper = !{trap("credential.url.helper", feed=False)}
[remote "origin"]
	url = "ext::sh -c touch% {self.marks}/ext"
	uploadpack = {trap("remote.uploadpack", feed=False)} #
	receivepack = {trap("remote.receivepack", feed=False)} #
	fetch = +refs/heads/*:refs/remotes/origin/*
[protocol]
	allow = always
[protocol "ext"]
	allow = always
[trailer "x"]
	key = X
	cmd = {trap("trailer.cmd", feed=False)} #
	command = {trap("trailer.command", feed=False)} #
[interactive]
	diffFilter = {trap("interactive.difffilter")}
[sequence]
	editor = {trap("sequence.editor", feed=False)} #
[uploadpack]
	packObjectsHook = {self.script("uploadpack.hook")}
[submodule]
	recurse = true
[submodule "sub"]
	update = !{trap("submodule.update", feed=False)}
	ignore = none
[status]
	submoduleSummary = true
[safe]
	bareRepository = all
	directory = *
[gc]
	auto = 1
[hook "x"]
	command = {trap("hook.x", feed=False)}
	event = pre-commit
[init]
	templateDir = {self.top}/.git
"""

    def script(self, name: str) -> Path:
        """A program that leaves the mark."""
        path = self.marks.parent / f"run {name}".replace(" ", "-")
        path.write_text(f"#!/bin/sh\ntouch {self.marks}/{name}\ncat 2>/dev/null </dev/null\n")
        path.chmod(0o755)
        return path

    def embedded_bare(self) -> None:
        """G2: a folder of the work tree that is a bare repository with traps of its own."""
        bare = self.top / "b"
        for name in ("objects", "refs"):
            (bare / name).mkdir(parents=True)
            (bare / name / "keep").write_text("")
        (bare / "HEAD").write_text("ref: refs/heads/main\n")
        (bare / "config").write_text(
            "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\t"
            f"worktree = ..\n\tfsmonitor = {self.script('bare-fsmonitor')}\n"
        )

    def submodule(self) -> None:
        """A repository inside, named as a submodule, with traps of its own."""
        sub = self.top / "sub"
        sub.mkdir()
        plain_git(sub, "init", "-q")
        (sub / ".gitattributes").write_text("*.s filter=inner\n")
        (sub / "s.s").write_text("s\n")
        plain_git(sub, "add", "-A")
        plain_git(sub, "commit", "-qm", "sub")
        with (sub / ".git" / "config").open("a") as config:
            config.write(
                f"[core]\n\tfsmonitor = {self.script('sub-fsmonitor')}\n"
                f'[filter "inner"]\n\tclean = {self.trap("sub-clean")}\n'
            )
        (sub / "s.s").write_text("t\n")
        (self.top / ".gitmodules").write_text('[submodule "sub"]\n\tpath = sub\n\turl = ../x\n\tignore = none\n')

    def sprung(self) -> set[str]:
        """The traps that ran."""
        return {path.name for path in self.marks.iterdir()}


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Hostile]:
    # Some traps cannot be written with a space in their path.
    with tempfile.TemporaryDirectory(prefix="kimi-agent-", dir="/tmp") as name:
        yield Hostile(tmp_path / "repo", Path(name) / "marks")


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir()
    return {**os.environ, "HOME": str(home)}


def everything(git: Git, top: Path) -> None:
    """Every operation that is offered, with what it needs; a refusal or a failure is fine, a trap is not."""
    head = git.run("rev-parse", "--verify", "--end-of-options", "HEAD").decode().strip()
    blob = git.run("hash-object", "-w", "--path", "a.c", "--stdin", stdin=b"x\n").decode().strip()
    calls: list[tuple[str, ...]] = [
        ("status", "--porcelain=v2", "-z", "--branch"),
        ("status",),
        ("ls-files", "-z", "--others", "--modified", "--deleted", "--exclude-standard"),
        ("ls-files", "--stage", "-z"),
        ("diff",),
        ("diff", "--cached", "--stat"),
        ("diff-files", "-p"),
        ("diff-index", "-p", "HEAD"),
        ("log", "-p", "-3"),
        ("show", "--end-of-options", "HEAD"),
        ("blame", "--", "a.c"),
        ("cat-file", "blob", blob),
        ("add", "--", "a.c", "p.p", "i.i", "w.w", "g.g"),
        ("add", "-A"),
        ("update-index", "--refresh"),
        ("update-index", "--add", "--", "a.c", "p.p"),
        ("write-tree",),
        ("commit-tree", "-m", "x", "HEAD^{tree}"),
        ("commit", "-m", "second"),
        ("commit", "--allow-empty", "--amend", "-m", "again"),
        ("commit", "--allow-empty"),
        ("tag", "-m", "x", "v1"),
        ("branch", "third", head),
        ("update-ref", "refs/heads/fourth", head),
        ("symbolic-ref", "HEAD"),
        ("for-each-ref", "--format=%(refname) %(contents)"),
        ("rev-list", "--objects", "HEAD"),
        ("merge-base", "HEAD", "other"),
        ("checkout", "other"),
        ("checkout", "main"),
        ("checkout", "--force", "HEAD", "--", "a.c"),
        ("switch", "other"),
        ("switch", "-"),
        ("reset", "--hard", head),
        ("restore", "--source", "HEAD", "--", "a.c"),
        ("read-tree", "--reset", "-u", "HEAD"),
        ("worktree", "add", "-b", "fifth", str(top.parent / "tree"), head),
        ("worktree", "list", "--porcelain"),
        ("merge", "--no-ff", "-m", "m", "other"),
        ("merge-file", "-p", "a.c", "g.g", "i.i"),
        ("cherry-pick", "--allow-empty", "other"),
        ("rm", "--cached", "--", "g.g"),
        ("check-ignore", "a.c"),
        ("remote", "get-url", "origin"),
        ("var", "GIT_EDITOR"),
        ("config", "--list"),
        ("init",),
        ("fsck",),
        ("pack-objects", "--all", "--stdout", "-q"),
        ("prune",),
    ]
    for call in calls:
        try:
            git.run(*call, env=WHO, ok=tuple(range(130)))
        except GitFailed as error:
            assert error.code >= 0  # noqa: PT017  (a signal would be negative)
    assert {call[0] for call in calls} <= ALLOWED_SUBCOMMANDS


def test_nothing_that_a_repository_names_is_run(hostile: Hostile, environ: dict[str, str]) -> None:
    everything(Git(hostile.top, environ=environ), hostile.top)
    assert hostile.sprung() == set()
    below = Git(hostile.top / "b", environ=environ)  # a bare repository, also a folder below a submodule's
    (hostile.top / "sub" / "s.s").write_text("new\n")
    for call in (("status",), ("add", "-A"), ("diff",), ("commit", "-m", "x")):
        below.run(*call, env=WHO, ok=(0, 1))
    tree = hostile.top.parent / "tree"
    Git(tree, environ=environ).run("status", "--porcelain")
    (tree / "a.c").write_text("in the work tree\n")
    Git(tree, environ=environ).run("add", "-A")
    assert hostile.sprung() == set()


def test_the_traps_are_live(hostile: Hostile) -> None:
    """The same repository in a plain git: otherwise the test above would prove nothing."""
    top = hostile.top
    plain_git(top, "config", "--unset", "core.worktree")
    plain_git(top, "status", check=False)
    # The process filter ends everything that meets it; without it the others are reached.
    calm = ("-c", "filter.proc.process=", "-c", "filter.proc.required=false")
    for call in (
        ("mine",),
        ("status",),
        ("add", "--", "a.c", "p.p", "i.i", "w.w", "g.g"),
        ("diff", "HEAD"),
        ("log", "-p", "--no-ext-diff", "-1"),
        ("-c", "commit.gpgSign=false", "commit", "-m", "second"),
        ("commit", "-m", "third", "--allow-empty"),
        ("checkout", "-f", "other"),
        ("fetch", "origin"),
    ):
        plain_git(top, *calm, *call, check=False)
    plain_git(top / "b", "status", check=False)
    assert {
        *("fsmonitor", "clean", "smudge", "process", "include-clean", "worktree-clean", "alias-mine", "diff.external"),
        *("textconv", "gpg.program", "hook-pre-commit", "hook-post-index-change", "hook-reference-transaction"),
        *("hook-post-checkout", "ext", "sub-clean", "sub-fsmonitor", "bare-fsmonitor"),
    } <= hostile.sprung()


def test_snapshots_run_nothing_and_write_nothing_into_the_repository(
    hostile: Hostile, environ: dict[str, str], tmp_path: Path
) -> None:
    def state() -> dict[str, bytes]:
        return {
            str(path): path.read_bytes() if path.is_file() else b""
            for path in sorted((hostile.top / ".git").rglob("*"))
        }

    before = state()
    checkpoints = Checkpoints(hostile.top, tmp_path / "store", environ=environ)
    first = checkpoints.take()
    (hostile.top / "a.c").write_text("again\n")
    (hostile.top / "sub" / "s.s").write_text("again\n")
    second = checkpoints.take()
    assert [change.path for change in checkpoints.changes(first.tree, second.tree)] == ["a.c", "sub/s.s"]
    assert checkpoints.read(second.tree, "a.c") == b"again\n"
    assert checkpoints.read(second.tree, "b/config") == (hostile.top / "b" / "config").read_bytes()
    checkpoints.collect(keep_days=0, max_bytes=1)
    checkpoints.close()
    assert hostile.sprung() == set()
    assert state() == before


@pytest.mark.parametrize(
    "args",
    [
        ("mine",),
        ("fetch", "origin"),
        ("push",),
        ("clone", "x"),
        ("submodule", "update"),
        ("difftool",),
        ("-c", "core.pager=touch x", "log"),
        ("--exec-path=/tmp", "log"),
        ("log", "--output=/tmp/x"),
        ("log", "--outp=/tmp/x"),
        ("diff", "--ext-diff"),
        ("diff", "--textconv"),
        ("show", "--show-signature"),
        ("commit", "--edit"),
        ("commit", "--trailer", "X=y"),
        ("init", "--template=/tmp"),
        ("rev-parse", "--git-dir=/tmp"),
        ("cat-file", "--filters", "HEAD:a"),
        ("checkout", "--recurse-submodules", "main"),
        (),
    ],
)
def test_what_could_run_something_is_refused_before_git_is_started(
    args: tuple[str, ...], tmp_path: Path, environ: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match="does not run"):
        Git(tmp_path, environ=environ).run(*args)


def test_a_branch_that_looks_like_an_option_is_a_name_after_end_of_options(
    hostile: Hostile, environ: dict[str, str]
) -> None:
    assert find_refused_argument(("log", "-1", "--end-of-options", "--output=f")) == ""
    with pytest.raises(GitFailed) as failed:
        Git(hostile.top, environ=environ).run("log", "-1", "--end-of-options", "--output=f")
    assert failed.value.code == 128
    assert not (hostile.top / "f").exists()


def test_every_key_that_names_a_command_is_overridden() -> None:
    keys = ["filter.a b.clean", "FILTER.x.Process", "merge.y.driver", "pager.log", "user.name", "difftool.z.path"]
    assert override_settings(keys) == {
        "filter.a b.clean": "",
        "FILTER.x.Process": "",
        "merge.y.driver": "false",
        "pager.log": "cat",
        "difftool.z.path": "false",
    }


def test_variables_of_the_caller_lead_git_nowhere(
    hostile: Hostile, environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    plain_git(other, "init", "-q")
    for name, value in {
        "GIT_DIR": str(other / ".git"),
        "GIT_WORK_TREE": str(other),
        "GIT_INDEX_FILE": str(other / "index"),
        "GIT_OBJECT_DIRECTORY": str(other / "objects"),
        "GIT_ALTERNATE_OBJECT_DIRECTORIES": str(other / "alternates"),
        "GIT_CONFIG_PARAMETERS": f"'alias.x'='!touch {hostile.marks}/x' 'core.fsmonitor'='{hostile.script('env')}'",
        "GIT_EXTERNAL_DIFF": str(hostile.script("GIT_EXTERNAL_DIFF")),
        "GIT_EXEC_PATH": str(tmp_path / "nowhere"),
        "GIT_TRACE": str(tmp_path / "trace"),
        "MOONSHOT_API_KEY": "sk-secret",
    }.items():
        monkeypatch.setenv(name, value)
    git = Git(hostile.top, environ={**environ, **os.environ})
    assert b"a.c" in git.run("ls-files", "-z")
    assert b"+one" in git.run("diff")
    tree = Checkpoints(hostile.top, tmp_path / "store", environ={**environ, **os.environ}).take().tree
    assert len(tree) == 40
    assert hostile.sprung() == set()
    assert not (tmp_path / "trace").exists()
    assert not (other / "index").exists()


def test_git_gets_none_of_our_keys(tmp_path: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A child of the same user could read them in /proc/<git>/environ."""
    monkeypatch.setenv("MOONSHOT_API_KEY", "sk-secret")
    tools = tmp_path / "bin"
    tools.mkdir()
    fake = tools / "git"
    fake.write_text(f"#!/bin/sh\nenv > '{tmp_path}/seen'\n")
    fake.chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    git = Git(work, git_dir=tmp_path, environ={**environ, "PATH": f"{tools}:{os.environ['PATH']}"})
    assert git.program == str(fake)
    git.run("status")
    seen = (tmp_path / "seen").read_text()
    assert "sk-secret" not in seen
    assert "GIT_CONFIG_GLOBAL=/dev/null\n" in seen
    assert "GIT_ALLOW_PROTOCOL=none\n" in seen


def test_a_git_of_the_workspace_is_never_the_one_that_runs(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (work / "bin").mkdir(parents=True)
    (work / "bin" / "git").write_text("#!/bin/sh\n")
    (work / "bin" / "git").chmod(0o755)
    path = f"bin:.::{work}/bin:{os.environ['PATH']}"
    found = find_git({"PATH": path}, not_below=work)
    assert found
    assert not Path(found).is_relative_to(work)


def test_the_first_import_of_gitpython_runs_only_the_trusted_git(tmp_path: Path) -> None:
    """It runs `git version` when imported, by the PATH it finds, and may print or fail."""
    work = tmp_path / "work"
    work.mkdir()
    evil = work / "git"
    evil.write_text(f"#!/bin/sh\ntouch {tmp_path}/mark\n")
    evil.chmod(0o755)
    program = (
        "import os, pathlib\n"
        "from kimi_agent.workspace.checkpoint import Checkpoints\n"
        f"store = pathlib.Path({str(tmp_path / 'store')!r})\n"
        f"c = Checkpoints(pathlib.Path({str(work)!r}), store, environ=dict(os.environ))\n"
        "print(len(c.take().tree), [n for n in os.environ if 'GIT_PYTHON' in n])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=work,
        env={"PATH": f".:{work}", "HOME": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("40 []\n", "")
    assert not (tmp_path / "mark").exists()


def test_without_git_one_sentence_says_what_to_install(tmp_path: Path) -> None:
    """A git in the system's own folders is found whatever PATH says, so the error itself is what can be shown."""
    error = GitMissing()
    assert isinstance(error, UserError)
    assert str(error) == "git was not found on PATH: install it (Debian: apt-get install git), or mend PATH"


def test_no_repository_is_reported_as_git_reports_it(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(GitFailed) as failed:
        Git(tmp_path, environ=environ).run("status")
    assert failed.value.code == 128
    assert "no git repository" in failed.value.stderr


def test_what_the_index_holds_is_known_by_content(tmp_path: Path, environ: dict[str, str]) -> None:
    top = tmp_path / "re po"
    (top / "sub").mkdir(parents=True)
    plain_git(top, "init", "-q")
    held = make_index_check(top, environ)
    assert not held("a", b"one")
    (top / "a").write_text("one")
    (top / "sub" / "b\nc").write_text("two")
    plain_git(top, "add", "-A")
    assert held("a", b"one")
    assert not held("a", b"other")
    assert not held("missing", b"one")
    assert make_index_check(top / "sub", environ)("b\nc", b"two")
    (top / "a").write_text("three")
    assert not held("a", b"three")
    plain_git(top, "add", "-A")
    assert held("a", b"three")
    assert not make_index_check(tmp_path, environ)("a", b"one")


def test_a_repository_is_found_through_the_files_of_worktrees_and_submodules(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    plain_git(top, "init", "-q")
    plain_git(top, "commit", "-q", "--allow-empty", "-m", "x")
    plain_git(top, "worktree", "add", "-q", str(tmp_path / "tree"))
    found = find_repository(tmp_path / "tree")
    assert found is not None
    assert found.git_dir == top / ".git" / "worktrees" / "tree"
    assert found.common.resolve() == top / ".git"
    (top / "deep" / "er").mkdir(parents=True)
    below = find_repository(top / "deep" / "er")
    assert below is not None
    assert below.top == top
    assert find_repository(top / "deep", home=str(top)) is None


def test_identity_and_other_settings_of_the_user_are_not_read(
    tmp_path: Path, environ: Mapping[str, str], request: pytest.FixtureRequest
) -> None:
    (tmp_path / "home" / ".gitconfig").write_text("[user]\n\tname = Someone\n")
    top = tmp_path / "r"
    top.mkdir()
    plain_git(top, "init", "-q")
    run: Callable[..., bytes] = Git(top, environ=environ).run
    assert b"Someone" not in run("config", "--list")
