"""Trap cells of the test runners of C, C++ and Zig builds."""

from dataclasses import replace

from tests.real.runner_traps.traps import Kit, Right, Shell, Tools, cells_of

_CMAKE = "cmake_minimum_required(VERSION 3.20)\nproject(calc NONE)\nenable_testing()\n"
CTEST_TOOLS = Tools(programs=("cmake", "ctest"), debian=("cmake",))
CTEST = Kit(
    runner="ctest",
    renames=False,
    tools=CTEST_TOOLS,
    files={},
    source=("calc.sh", "echo $((1 @op@ 2))\n"),
    test_path="CMakeLists.txt",
    head=_CMAKE,
    test="add_test(NAME @name@ WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} COMMAND sh -c [==[@body@]==])\n",
    bodies={
        "adds": "test $(sh calc.sh) = 3",
        "keeps": "true",
        "fails": "false",
        "crashes": "kill -9 $$",
        "hangs": "sleep 600",
        "prints": "echo '1/2 Test #1: x ...***Failed 0.01 sec'; echo '50% tests passed, 1 tests failed out of 2'",
        "claims": "echo '1/1 Test #2: claims .... Passed 0.01 sec'; echo '100% tests passed'; exit 1",
    },
    nothing={"no tests": {"CMakeLists.txt": _CMAKE}},
    hides={
        "disabled": {
            "CMakeLists.txt": f"{_CMAKE}"
            "add_test(NAME keeps COMMAND true)\nadd_test(NAME fails COMMAND false)\n"
            "set_tests_properties(fails PROPERTIES DISABLED ON)\n"
        },
    },
)  # fmt: skip

MESON = Kit(
    runner="meson",
    renames=False,
    tools=Tools(pypi=("meson>=1.12", "ninja"), programs=("meson", "ninja")),
    files={},
    source=("calc.sh", "echo $((1 @op@ 2))\n"),
    test_path="meson.build",
    head="project('calc')\nsh = find_program('sh')\nhere = meson.current_source_dir()\n",
    test="test('@name@', sh, args: ['-c', '''@body@'''], workdir: here, timeout: 0)\n",
    bodies={
        "adds": "test $(sh calc.sh) = 3",
        "keeps": "true",
        "fails": "false",
        "crashes": "kill -9 $$",
        "hangs": "sleep 600",
        "prints": "echo '1/2 calc:x FAIL 0.01s'; echo 'Fail:              1   '; true",
        "claims": "echo '1/1 calc:claims OK 0.01s'; echo 'Ok:                1   '; exit 1",
    },
    nothing={"no tests": {"meson.build": "project('calc')\n"}},
    hides={
        "suite": {
            "meson.build": "project('calc')\nsh = find_program('sh')\ntest('keeps', sh, args: ['-c', 'true'])\n"
            "add_test_setup('quick', is_default: true, exclude_suites: ['slow'])\n"
            "test('fails', sh, args: ['-c', 'false'], suite: 'slow')\n"
        },
        "should fail": {
            "meson.build": "project('calc')\nsh = find_program('sh')\ntest('keeps', sh, args: ['-c', 'true'])\n"
            "test('fails', sh, args: ['-c', 'exit 77'])\n"
        },
    },
    fails_after={
        "a test that passes and should fail": {
            "meson.build": "project('calc')\nsh = find_program('sh')\n"
            "test('odd', sh, args: ['-c', 'true'], should_fail: true)\n"
        },
    },
)
AUTOTOOLS = Kit(
    runner="make check",
    renames=False,
    tools=Tools(programs=("make", "automake", "autoconf"), debian=("automake", "autoconf", "make")),
    files={
        "configure.ac": "AC_INIT([calc],[1])\nAM_INIT_AUTOMAKE([foreign])\nAC_CONFIG_FILES([Makefile])\nAC_OUTPUT\n",
        ".gitignore": "Makefile\nMakefile.in\n*.log\n*.trs\n",
    },
    source=("calc.sh", "echo $((1 @op@ 2))\n"),
    test_path="Makefile.am",
    head="TESTS =\nTEST_EXTENSIONS = .test\nTEST_LOG_COMPILER = sh $(srcdir)/run.sh\nEXTRA_DIST = run.sh\n",
    test="TESTS += @name@.test\n",
    bodies={"adds": "", "keeps": "", "fails": "", "crashes": "", "hangs": "", "prints": "", "claims": ""},
    nothing={"no tests": {"Makefile.am": "EXTRA_DIST = run.sh\nSUBDIRS =\n"}},
    hides={
        "expected to fail": {
            "Makefile.am": "TESTS = keeps.test fails.test\nXFAIL_TESTS = fails.test\nTEST_EXTENSIONS = .test\n"
            "TEST_LOG_COMPILER = sh $(srcdir)/run.sh\n"
        },
    },
    fails_after={
        "local target": {
            "Makefile.am": "TESTS = adds.test keeps.test\nTEST_EXTENSIONS = .test\n"
            "TEST_LOG_COMPILER = sh $(srcdir)/run.sh\ncheck-local:\n\tfalse\n"
        },
    },
    reported="@name@.test",
)
# What each test does is a file of its own; the list of tests is the Makefile.am.
_SCRIPTS = {
    "adds": "test $(sh calc.sh) = 3\n",
    "sums": "test $(sh calc.sh) = 3\n",
    "keeps": "true\n",
    "fails": "false\n",
    "crashes": "kill -9 $$\n",
    "hangs": "sleep 600\n",
    "prints": "echo 'FAIL: x.test'; echo '# TOTAL: 7'\n",
    "claims": "echo 'PASS: claims.test'; exit 1\n",
}
_AUTOTOOLS_FILES = {"run.sh": 'exec sh "$1"\n', **{f"{name}.test": text for name, text in _SCRIPTS.items()}}
_AUTORECONF = Shell("autoreconf -i && ./configure")

_ZIG_BUILD = """const std = @import("std");

pub fn build(b: *std.Build) void {
    const target = b.standardTargetOptions(.{});
    const tests = b.addTest(.{
        .root_module = b.createModule(.{ .root_source_file = b.path("src/calc.zig"), .target = target }),
    });
    const step = b.step("test", "Run tests");
    step.dependOn(&b.addRunArtifact(tests).step);
}
"""
_ZIG_HEAD = """const std = @import("std");
const add = @import("add.zig").add;
"""
ZIG = Kit(
    runner="zig build test",
    tools=Tools(
        pypi=("ziglang>=0.17",),
        programs=("zig",),
        links={"zig": "lib/python*/site-packages/ziglang/zig"},
    ),
    files={"build.zig": _ZIG_BUILD, ".gitignore": ".zig-cache/\nzig-out/\n"},
    source=("src/add.zig", "pub fn add(a: i32, b: i32) i32 {\n    return a @op@ b;\n}\n"),
    test_path="src/calc.zig",
    head=_ZIG_HEAD,
    test='\ntest "@name@" {\n    @body@\n}\n',
    bodies={
        "adds": "try std.testing.expectEqual(@as(i32, 3), add(1, 2));",
        "keeps": "try std.testing.expect(true);",
        "fails": "return error.No;",
        "quits": "std.process.exit(0);",
        "crashes": "std.process.abort();",
        "hangs": "while (true) std.atomic.spinLoopHint();",
        "prints": 'std.debug.print("error: \'calc.test.x\' failed: no\\n0/1 tests passed\\n", .{});',
        "claims": 'std.debug.print("Build Summary: 3/3 steps succeeded; 2/2 tests passed", .{});\n    return error.No;',
    },
    nothing={"no tests": {"src/calc.zig": _ZIG_HEAD}},
    hides={
        "skipped": {
            "src/calc.zig": f'{_ZIG_HEAD}\ntest "keeps" {{}}\n\n'
            'test "fails" {\n    return error.SkipZigTest;\n}\n'
        },
        "not imported": {
            "src/calc.zig": f'{_ZIG_HEAD}\ntest "keeps" {{}}\n',
            "src/other.zig": 'test "fails" {\n    return error.No;\n}\n',
        },
    },
    fails_after={
        "another step": {
            "build.zig": _ZIG_BUILD.replace(
                ".step);\n}", '.step);\n    step.dependOn(&b.addSystemCommand(&.{"false"}).step);\n}'
            )
        },
    },
    hang_s=40,
)  # fmt: skip

# Zig does not run again what passed, and does not say how many tests that was.
_ZIG_CACHED = Right(True, ("passed",), says=("cached",))
_CONFIGURE = Shell("cmake -S . -B build")

CELLS = [
    *(replace(cell, steps=(_CONFIGURE, *cell.steps)) for cell in cells_of(CTEST)),
    *(replace(cell, steps=(Shell("meson setup build"), *cell.steps)) for cell in cells_of(MESON)),
    *(
        replace(cell, files={**_AUTOTOOLS_FILES, **cell.files}, steps=(_AUTORECONF, *cell.steps))
        for cell in cells_of(AUTOTOOLS)
    ),
    *(replace(cell, right=_ZIG_CACHED) if cell.trap == "cached" else cell for cell in cells_of(ZIG)),
]  # fmt: skip
