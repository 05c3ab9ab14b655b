"""What the runners of Go, Rust and Zig are given for targets and names."""

from pathlib import Path

import pytest

from kimi_agent.errors import ToolError
from kimi_agent.tool import Context
from kimi_agent.workspace.testrun.commands_and_reports import TestSelection
from kimi_agent.workspace.testrun.projects.project_folder import ProjectFolder
from kimi_agent.workspace.testrun.runners import cargo, go, zig
from tests.workspace.testrun.project_files import put, selection

GO = {
    "go.mod": "module m\n",
    "a.go": "",
    "a_test.go": "func TestA(t *testing.T) {}\nfunc TestB(t *testing.T) {}\nfunc helper() {}\n",
    "b/b_test.go": "func ExampleB() {}\n",
}


@pytest.mark.parametrize(
    ("targets", "name", "words"),
    [
        ([], "", ("./...",)),
        ([], "a b/c(1)", (r"-run=a_b/c\(1\)", "./...")),
        (["b"], "", ("./b/...",)),
        (["."], "", ("./...",)),
        (["a.go"], "", (".",)),
        (["a_test.go"], "", ("-run=^(TestA|TestB)$", ".")),
        (["a_test.go::TestA"], "", ("-run=^(TestA)$", ".")),
        (["a_test.go::TestA/x/y"], "", ("-run=^(TestA)$/^(x)$/^(y)$", ".")),
        (["a_test.go::TestA/x", "b/b_test.go"], "", ("-run=^(TestA|ExampleB)$", ".", "./b")),
        (["a_test.go::TestA", "b"], "", (".", "./b/...")),
        (["b"], "x", ("-run=x", "./b/...")),
    ],
)
async def test_go(context: Context, workspace: Path, targets: list[str], name: str, words: tuple[str, ...]) -> None:
    put(workspace, GO)
    assert go.go_arguments(selection(workspace, *targets, name=name), ProjectFolder(context.files, workspace)) == words


async def test_go_takes_no_name_beside_ids(context: Context, workspace: Path) -> None:
    put(workspace, GO)
    with pytest.raises(ToolError, match="not both"):
        go.go_arguments(selection(workspace, "a_test.go::TestA", name="x"), ProjectFolder(context.files, workspace))


async def test_a_go_workspace_runs_all_its_modules(context: Context, workspace: Path) -> None:
    put(workspace, {"go.work": "go 1.21\n\nuse (\n\t./a\n\t./b/c // why\n)\n", "a/go.mod": "", "b/c/go.mod": ""})
    folder = ProjectFolder(context.files, workspace)
    assert go.GO.evidence(folder) == "go.work"
    assert go.go_arguments(TestSelection(), folder) == ("./a/...", "./b/c/...")


RUST = {
    "Cargo.toml": '[package]\nname = "x"\n[workspace]\nmembers = ["in"]\n',
    "src/lib.rs": "",
    "src/a/mod.rs": "",
    "src/a/b.rs": "",
    "tests/it.rs": "",
    "tests/more/main.rs": "",
    "in/Cargo.toml": '[package]\nname = "in"\n',
    "in/src/main.rs": "",
}


@pytest.mark.parametrize(
    ("targets", "name", "words"),
    [
        ([], "", ("--workspace",)),
        ([], "--help", ("--workspace", "--", "--", "--help")),
        (["src/lib.rs"], "", ("--lib", "--bins")),
        (["src/lib.rs::tests::t"], "", ("--lib", "--bins", "--", "--exact", "tests::t")),
        (["src/a/b.rs"], "", ("--lib", "--bins", "--", "a::b")),
        (["src/a"], "", ("--lib", "--bins", "--", "a")),
        (["src/a/mod.rs::t", "src/a/b.rs::u"], "", ("--lib", "--bins", "--", "--exact", "a::t", "a::b::u")),
        (["tests/it.rs"], "", ("--test=it",)),
        (["tests/more"], "", ("--test=more",)),
        (["tests/it.rs::t"], "", ("--test=it", "--", "--exact", "t")),
        (["src/lib.rs::doc f (line 7)"], "", ("--doc", "--", "7)")),
        (["src/lib.rs::t", "tests/it.rs::u"], "", ("--", "t", "u")),
        (["src/lib.rs", "tests/it.rs::u"], "", ()),
        (["in/src/main.rs::t"], "", ("--workspace", "--", "--exact", "t")),
        (["."], "", ("--workspace",)),
        (["src/lib.rs"], "x", ("--lib", "--bins", "--", "x")),
    ],
)
async def test_cargo(context: Context, workspace: Path, targets: list[str], name: str, words: tuple[str, ...]) -> None:
    put(workspace, RUST)
    assert (
        cargo.cargo_arguments(selection(workspace, *targets, name=name), ProjectFolder(context.files, workspace))
        == words
    )


async def test_cargo_keeps_to_the_packages_that_a_workspace_names_itself(context: Context, workspace: Path) -> None:
    put(workspace, {"Cargo.toml": '[workspace]\nmembers = ["a"]\n'})
    assert cargo.cargo_arguments(TestSelection(), ProjectFolder(context.files, workspace)) == ()
    put(workspace, {"Cargo.toml": "not [ toml"})
    assert cargo.cargo_arguments(TestSelection(), ProjectFolder(context.files, workspace)) == ()


@pytest.mark.parametrize(
    ("option", "targets", "name", "words"),
    [
        ("", [], "", ()),
        ("", [], "x", None),
        ("", ["src/a.zig::x y"], "", None),
        ('b.option([]const u8, "test-filter", "")', [], "x", ("-Dtest-filter=x",)),
        ('b.option([]const u8, "test-filter", "")', ["src/a.zig::x y"], "", ("-Dtest-filter=x y",)),
        ('b.option([]const u8, "test-filter", "")', ["src/a.zig::x", "src/a.zig::y"], "", None),
        (
            'b.option([]const []const u8, "test-filters", "")',
            ["src/a.zig::x", "src/a.zig::y"],
            "",
            ("-Dtest-filters=x", "-Dtest-filters=y"),
        ),
        ('b.option([]const u8, "test-filter", "")', ["src/a.zig"], "", None),
    ],
)
async def test_zig(
    context: Context, workspace: Path, option: str, targets: list[str], name: str, words: tuple[str, ...] | None
) -> None:
    put(workspace, {"build.zig": f'b.step("test", "Run"); {option}', "src/a.zig": ""})
    folder = ProjectFolder(context.files, workspace)
    assert zig.zig_evidence(folder) == "build.zig"
    assert zig.zig_arguments(selection(workspace, *targets, name=name), folder) == words
