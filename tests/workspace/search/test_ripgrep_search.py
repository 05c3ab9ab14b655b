"""Searching: what is found, what is left out, and what is said about it. Real ripgrep, and our slow stand-in."""

import os
import sys
from pathlib import Path

import pytest

from kimi_agent.errors import NeedsConsent, ToolError
from kimi_agent.tool import Context
from kimi_agent.workspace.search import python_grep
from kimi_agent.workspace.search.ripgrep import Found, Ripgrep
from tests.builders import make_runner

SLOW = (sys.executable, "-I", python_grep.__file__)


@pytest.fixture
def rg(context: Context) -> Ripgrep:
    return context.ripgrep


@pytest.fixture(params=["ripgrep", "python"])
def either(request: pytest.FixtureRequest, context: Context) -> Ripgrep:
    engine = () if request.param == "ripgrep" else SLOW
    return Ripgrep(context.files, context.runner, engine=engine)


def lay(root: Path, **texts: str) -> None:
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def listed(found: Found) -> dict[str, list[tuple[int, str, bool]]]:
    return {hits.path: [(line.number, line.text, line.match) for line in hits.lines] for hits in found.hits}


async def test_matches_come_by_path_with_their_lines_and_totals(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, b_py="x\nneedle 1\n", src__a_py="needle 2\r\ny\nneedle 3", c_py="nothing\n")
    found = await either.search("needle")
    assert listed(found) == {
        "b.py": [(2, "needle 1", True)],
        "src/a.py": [(1, "needle 2", True), (3, "needle 3", True)],
    }
    assert (found.matches, found.files, found.searched, found.first, found.last) == (3, 2, 3, 1, 3)
    assert (found.partial, found.unreadable, found.secret_matches) == ("", (), 0)


async def test_hidden_files_are_searched_and_git_is_not(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, _hidden="needle", _git__config="needle", sub___git="needle", sub___ci__x="needle")
    assert set(listed(await either.search("needle"))) == {".hidden", "sub/.ci/x"}


async def test_context_is_kept_apart_from_matches(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, a="1\n2\nhit\n4\n5\n6\nhit\n")
    assert listed(await either.search("hit", before=1, after=2))["a"] == [
        (2, "2", False),
        (3, "hit", True),
        (4, "4", False),
        (5, "5", False),
        (6, "6", False),
        (7, "hit", True),
    ]


@pytest.mark.long
@pytest.mark.parametrize("around", [0, 1])
async def test_pages_fit_together_without_gap_or_overlap(either: Ripgrep, workspace: Path, around: int) -> None:
    for name in ("a", "b", "c"):
        lay(workspace, **{name: "".join(f"hit {name}{n}\n" for n in range(7))})
    seen: list[str] = []
    for offset in range(0, 21, 4):
        page = await either.search("hit", limit=4, offset=offset, before=around, after=around)
        assert (page.matches, page.files, page.first) == (21, 3, offset + 1)
        seen += [line.text for hits in page.hits for line in hits.lines if line.match]
        assert page.last == len(seen)
    assert seen == [f"hit {name}{n}" for name in "abc" for n in range(7)]
    beyond = await either.search("hit", offset=21)
    assert (beyond.hits, beyond.matches, beyond.last) == ((), 21, 0)


@pytest.mark.parametrize("mode", ["files", "count"])
async def test_files_come_by_match_count(either: Ripgrep, workspace: Path, mode: str) -> None:
    lay(workspace, a="hit\n", b="hit\nhit\nhit\n", c="hit\nhit\n", d="hit\n", e="")
    found = await either.search("hit", mode="files" if mode == "files" else "count", limit=3)
    assert [(hits.path, hits.matches) for hits in found.hits] == [("b", 3), ("c", 2), ("a", 1)]
    assert (found.matches, found.files, found.first, found.last) == (7, 4, 1, 3)


@pytest.mark.parametrize(
    ("case", "pattern", "lines"),
    [
        ("smart", "foo", {"foo", "FOO"}),
        ("smart", "Foo", set()),
        ("sensitive", "foo", {"foo"}),
        ("ignore", "Foo", {"foo", "FOO"}),
    ],
)
async def test_case(either: Ripgrep, workspace: Path, case: str, pattern: str, lines: set[str]) -> None:
    lay(workspace, a="foo\nFOO\n")
    found = await either.search(
        pattern, case="smart" if case == "smart" else "ignore" if case == "ignore" else "sensitive"
    )
    assert {text for each in listed(found).values() for _, text, _ in each} == lines


async def test_a_literal_is_no_expression_and_no_flag(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, a="f(x)\n--pre=sh\n-f/etc/shadow\n")
    for text in ("f(x)", "--pre=sh", "-f/etc/shadow"):
        assert (await either.search(text, literal=True)).matches == 1


async def test_matches_may_span_lines(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, a="def f(\n    x,\n):\nend\n")
    assert [line for line, _, _ in listed(await either.search(r"def f\(.*?\):", multiline=True))["a"]] == [1, 2, 3]
    assert (await either.search("f(\n    x", literal=True)).matches == 2


async def test_a_newline_in_the_expression_is_enough_to_span_lines(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, a="one\ntwo\n\\nine\n")
    assert (await either.search(r"one\ntwo")).matches == 2
    assert (await either.search(r"one.two")).matches == 0
    assert (await either.search(r"one\n.*ine")).matches == 0
    assert listed(await either.search(r"\\nine")) == {"a": [(3, "\\nine", True)]}


@pytest.mark.long
@pytest.mark.parametrize("glob", ["*.py", "src/*.py", "**/*.py", "./src/**", "src/", "{src,lib}/*.p?", "!*.txt"])
async def test_globs_start_at_the_workspace(either: Ripgrep, workspace: Path, glob: str) -> None:
    lay(workspace, src__a_py="hit", other__b_txt="hit", c_txt="hit")
    assert set(listed(await either.search("hit", glob=glob))) == {"src/a.py"}
    assert set(listed(await either.search("hit", glob=glob, path="src"))) == {"src/a.py"}


async def test_a_glob_never_brings_git_back(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, _git__config="hit")
    for glob in ("*", ".git/**", "**/config"):
        assert (await either.search("hit", glob=glob)).matches == 0


async def test_file_types(rg: Ripgrep, workspace: Path) -> None:
    lay(workspace, a_py="hit", b_rs="hit")
    assert set(listed(await rg.search("hit", file_type="py"))) == {"a.py"}
    with pytest.raises(ToolError, match="unrecognized file type: nix-o") as caught:
        await rg.search("hit", file_type="nix-o")
    assert "glob" in caught.value.next_step


async def test_ignored_files_are_passed_over_and_counted(rg: Ripgrep, workspace: Path) -> None:
    lay(workspace, _gitignore="build/\n*.log\n", build__a="hit\nhit\n", x_log="hit", b="no")
    found = await rg.search("hit")
    assert (found.matches, found.ignored_matches, found.searched, found.where) == (0, 3, 2, ".")
    assert (await rg.search("hit", include_ignored=True)).matches == 3
    assert (await rg.search("no")).ignored_matches is None


async def test_an_ignore_file_above_the_workspace_counts_only_in_its_repository(
    rg: Ripgrep, workspace: Path, tmp_path: Path
) -> None:
    (tmp_path / ".gitignore").write_text("*\n")
    lay(workspace, a="hit")
    assert (await rg.search("hit")).matches == 1
    (tmp_path / ".git").mkdir()
    assert (await rg.search("hit")).ignored_matches == 1


async def test_secrets_are_counted_and_not_shown(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, _env="KEY=hit\nhit\n", id_rsa_pem="hit", a="hit\n")
    for mode in ("content", "files"):
        found = await either.search("hit", mode="content" if mode == "content" else "files")
        assert [hits.path for hits in found.hits] == ["a"]
        assert (found.matches, found.secret_matches, found.secret_files) == (1, 3, (".env", "id.rsa.pem"))


async def test_a_secret_file_is_searched_once_a_person_allowed_it(
    rg: Ripgrep, workspace: Path, context: Context
) -> None:
    lay(workspace, _env="KEY=hit\n")
    with pytest.raises(NeedsConsent) as asked:
        await rg.search("hit", path=".env")
    context.files.allow_reading(asked.value.path)
    assert listed(await rg.search("hit", path=".env")) == {".env": [(1, "KEY=hit", True)]}


async def test_what_lies_outside_asks_and_then_is_named_in_full(rg: Ripgrep, tmp_path: Path, context: Context) -> None:
    outside = tmp_path / "outside"
    lay(outside, a="hit")
    with pytest.raises(NeedsConsent) as asked:
        await rg.search("hit", path=str(outside))
    context.files.allow_reading(asked.value.path)
    assert set(listed(await rg.search("hit", path=str(outside)))) == {f"{outside.resolve()}/a"}


async def test_links_are_not_followed_out_of_the_workspace(either: Ripgrep, workspace: Path, tmp_path: Path) -> None:
    lay(tmp_path / "outside", a="hit")
    (workspace / "dir").symlink_to(tmp_path / "outside")
    (workspace / "file").symlink_to(tmp_path / "outside" / "a")
    (workspace / "loop").symlink_to(workspace)
    assert (await either.search("hit")).matches == 0
    with pytest.raises(NeedsConsent):
        await either.search("hit", path="dir")


async def test_an_output_is_searched_by_its_name(rg: Ripgrep, context: Context) -> None:
    name = context.files.outputs.keep("one\nhit\n")
    assert listed(await rg.search("hit", path=name)) == {name: [(2, "hit", True)]}


async def test_a_missing_path_names_similar_ones(rg: Ripgrep, workspace: Path) -> None:
    lay(workspace, source_py="")
    with pytest.raises(ToolError) as caught:
        await rg.search("x", path="sourse.py")
    assert caught.value.code == "missing"
    assert "source.py" in caught.value.next_step


async def test_a_fifo_is_refused_and_passed_over(either: Ripgrep, workspace: Path) -> None:
    os.mkfifo(workspace / "pipe")
    lay(workspace, a="hit")
    with pytest.raises(ToolError, match="neither a file nor a folder"):
        await either.search("hit", path="pipe")
    assert (await either.search("hit")).matches == 1


@pytest.mark.parametrize("pattern", ["fo(", "[a", "(?<=a", "*"])
async def test_a_bad_expression_is_explained(either: Ripgrep, workspace: Path, pattern: str) -> None:
    lay(workspace, a="x")
    with pytest.raises(ToolError) as caught:
        await either.search(pattern)
    assert caught.value.code == "bad_arguments"
    assert "literal=true" in caught.value.next_step


async def test_a_bad_glob_and_an_empty_pattern_are_explained(rg: Ripgrep, workspace: Path) -> None:
    lay(workspace, a="x")
    with pytest.raises(ToolError, match="unclosed character class"):
        await rg.search("x", glob="[")
    with pytest.raises(ToolError, match="pattern is empty"):
        await rg.search("")
    with pytest.raises(ToolError, match="NUL"):
        await rg.search("a\0b")
    with pytest.raises(ToolError, match="surrogate"):
        await rg.search("\ud800")


async def test_what_ripgreps_own_engine_cannot_do_is_done_by_the_other(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, a="foobar\nbar\n")
    assert listed(await either.search("(?<=foo)bar")) == {"a": [(1, "foobar", True)]}


async def test_a_line_of_megabytes_is_shown_in_part(either: Ripgrep, workspace: Path) -> None:
    (workspace / "long").write_text("a" * 2_000 + "hit" + "b" * 6_500_000 + "\nshort hit\n")
    found = await either.search("hit")
    first, second = found.hits[0].lines
    assert len(first.text) < 600
    assert second.text == "short hit"


async def test_hostile_names_stay_on_one_line(either: Ripgrep, workspace: Path) -> None:
    for name in (b"new\nline", b"esc\x1b[31m", b"not-\xff-utf8", "ไทย 日本".encode(), b"a: b", b"-rf", b"1:2"):
        (Path(os.fsdecode(os.fsencode(workspace) + b"/" + name))).write_text("hit\n")
    found = await either.search("hit")
    assert {hits.path for hits in found.hits} == {
        "new\\nline",
        "esc\\x1b[31m",
        "not-\\xff-utf8",
        "ไทย 日本",
        "a: b",
        "-rf",
        "1:2",
    }
    assert all([line.text for line in hits.lines] == ["hit"] for hits in found.hits)


async def test_text_that_is_not_utf8_and_binary_files(either: Ripgrep, workspace: Path) -> None:
    (workspace / "latin").write_bytes(b"caf\xe9 hit\n")
    (workspace / "binary").write_bytes(b"\0hit\n")
    assert listed(await either.search("hit")) == {"latin": [(1, "caf\ufffd hit", True)]}


async def test_a_file_that_turns_binary_late_does_not_confuse_the_next(rg: Ripgrep, workspace: Path) -> None:
    (workspace / "late").write_bytes(b"hit one\n" + b"x" * 100_000 + b"\nhit\0two\n")
    lay(workspace, zebra="hit three\n")
    found = await rg.search("hit")
    assert {hits.path for hits in found.hits} == {"late", "zebra"}


async def test_what_cannot_be_read_is_named(rg: Ripgrep, workspace: Path) -> None:
    lay(workspace, a="hit")
    # Deeper than a path may be long: this fails for root too, which may read everything.
    here = os.open(workspace, os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        inner = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)
    found = await rg.search("hit")
    assert found.matches == 1
    assert len(found.unreadable) == 1
    assert "name too long" in found.unreadable[0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
async def test_a_file_without_permission_is_named(either: Ripgrep, workspace: Path) -> None:
    lay(workspace, a="hit", b="hit")
    (workspace / "b").chmod(0)
    found = await either.search("hit")
    assert found.matches == 1
    assert "b: Permission denied" in found.unreadable[0]


async def test_a_search_that_takes_too_long_is_partial(context: Context, workspace: Path) -> None:
    slow = Ripgrep(context.files, context.runner, engine=SLOW)
    lay(workspace, a="a" * 60 + "!\n")
    found = await slow.search("(a+)+$", timeout_s=1)
    assert found.partial == "stopped after 1 s"


async def test_endless_matches_are_broken_off(rg: Ripgrep, workspace: Path) -> None:
    (workspace / "many").write_text("x\n" * 300_000)
    found = await rg.search("x", limit=2)
    assert (found.partial, found.last) == ("stopped after 200,000 matches", 2)
    assert found.matches >= 200_000


async def test_a_ripgrep_configuration_changes_nothing(context: Context, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "ripgreprc").write_text("--invert-match\n")
    lay(workspace, a="hit\n", _ignore="b\n", b="hit\n")
    environ = {**os.environ, "RIPGREP_CONFIG_PATH": str(tmp_path / "ripgreprc")}
    runner = make_runner(workspace, tmp_path, environ=environ, env_pass=["RIPGREP_CONFIG_PATH"])
    found = await Ripgrep(context.files, runner).search("hit")
    assert listed(found) == {"a": [(1, "hit", True)]}


async def test_files_are_listed_without_git_and_ignored_ones(rg: Ripgrep, workspace: Path) -> None:
    lay(workspace, _gitignore="build/\n", build__a="", src__b_py="", _git__x="", _env="", c="")
    assert await rg.files(".") == [".env", ".gitignore", "c", "src/b.py"]
    assert await rg.files("src") == ["src/b.py"]
    assert await rg.files(".", glob="*.py") == ["src/b.py"]
    assert "build/a" in await rg.files(".", include_ignored=True)
    with pytest.raises(ToolError, match="there is no"):
        await rg.files("nowhere")


async def test_files_with_hostile_names_are_spelled_as_the_system_does(either: Ripgrep, workspace: Path) -> None:
    name = os.fsdecode(b"a\n\xff")
    (workspace / name).write_text("")
    assert await either.files(".") == [name]


async def test_a_slow_search_says_which_engine_it_is(context: Context, workspace: Path) -> None:
    lay(workspace, a="hit")
    slow = Ripgrep(context.files, context.runner, engine=SLOW)
    assert (await slow.search("hit")).engine == "python"
    assert (await context.ripgrep.search("hit")).engine == "ripgrep"
    with pytest.raises(ToolError, match="file types need ripgrep"):
        await slow.search("hit", file_type="py")


@pytest.mark.parametrize("glob", ["pkg/**", "**/*", "*", "{src,pkg}/**", "pkg/", "*.js", "/pkg/**/i.js"])
async def test_a_glob_does_not_bring_ignored_files_back(rg: Ripgrep, workspace: Path, glob: str) -> None:
    lay(workspace, pkg__a__i_js="hit", pkg__a__modules__lib__i_js="hit", pkg__gen_js="hit", keep="hit")
    lay(workspace, _gitignore="modules/\ngen.js\n!keep\n")
    found = await rg.search("hit", glob=glob)
    assert set(listed(found)) - {"keep"} == {"pkg/a/i.js"}
    assert "pkg/gen.js" not in await rg.files(".", glob=glob)
    assert "pkg/gen.js" in await rg.files(".", glob="*", include_ignored=True)


async def test_a_glob_that_names_ignored_files_alone_says_how_many_hits_they_hold(rg: Ripgrep, workspace: Path) -> None:
    lay(workspace, a_log="hit", a_py="hit", _gitignore="*.log\n")
    found = await rg.search("hit", glob="*.log")
    assert (found.matches, found.searched, found.ignored_matches) == (0, 0, 1)
    assert set(listed(await rg.search("hit", glob="*.log", include_ignored=True))) == {"a.log"}
