"""Real runners of script and functional languages: how they are started, and what they hide from their own reports."""

from pathlib import Path

import pytest

from kimi_agent.tool import Context
from tests.workspace.testrun.project_files import outcomes, put
from tests.workspace.testrun.test_real_runners import needs

RAKE_TEST = 'require "rake/testtask"\nRake::TestTask.new(:test) { |task| task.libs << "test"%s }\n'
MINITEST = 'require "minitest/autorun"\n'


@pytest.mark.real
@needs("ruby", "rake")
async def test_the_options_that_a_rakefile_sets_are_kept(context: Context, workspace: Path) -> None:
    tests = "class ATest < Minitest::Test\n  def test_ok = assert(true)\n  def test_red = assert(false)\nend\n"
    put(workspace, {"Rakefile": RAKE_TEST % "; task.options = '--name=/ok/'", "test/test_a.rb": MINITEST + tests})
    report = await context.testrun.run()
    assert (report.verdict, report.command) == ("passed", "rake test")
    assert outcomes(report) == {"test/test_a.rb::ATest#test_ok": "passed"}


@pytest.mark.real
@needs("ruby", "rake")
async def test_a_ruby_that_a_test_starts_does_not_report_into_its_run(context: Context, workspace: Path) -> None:
    inner = "class Inner < Minitest::Test\n  def test_red = assert(false)\nend\n"
    tests = (
        "class ATest < Minitest::Test\n"
        '  def test_inner = refute(system("ruby", "inner.rb"))\n'
        '  def test_path = assert_nil(ENV["RUBYLIB"])\n'
        "end\n"
    )
    put(workspace, {"test/a_test.rb": MINITEST + tests, "inner.rb": MINITEST + inner})
    report = await context.testrun.run()
    assert (report.verdict, len(report.cases)) == ("passed", 2), report.cases


@pytest.mark.real
@needs("ruby", "rake")
@pytest.mark.parametrize("command", ["rake test", "ruby -Itest test/test_a.rb"])
async def test_a_given_ruby_command_reports_single_tests(context: Context, workspace: Path, command: str) -> None:
    tests = "class ATest < Minitest::Test\n  def test_red = assert(false)\n  def test_ok = assert(true)\nend\n"
    put(workspace, {"Rakefile": RAKE_TEST % "", "test/test_a.rb": MINITEST + tests})
    report = await context.testrun.run(command=command)
    assert (report.verdict, report.command, len(report.cases)) == ("failed", command, 2)
    (workspace / "test/test_a.rb").write_text("puts 'checked by hand'\n")
    report = await context.testrun.run(command=command)
    assert (report.verdict, report.cases) == ("passed", ())


PHP_OK = "  function testOk() { $this->assertTrue(true); }\n"
PHP_TESTS = "<?php\nfinal class ATest extends PHPUnit\\Framework\\TestCase {\n" + PHP_OK + "%s}\n"
PHP_SUITE = '<testsuites><testsuite name="a"><directory>.</directory></testsuite></testsuites>'
PHP = {"phpunit.xml": f"<phpunit>{PHP_SUITE}</phpunit>", "ATest.php": PHP_TESTS % ""}


@pytest.mark.real
@needs("composer", "phpunit")
@pytest.mark.parametrize(
    ("script", "verdict", "tests"),
    [
        ('["@unit"], "unit": "@php /usr/bin/phpunit"', "passed", 1),
        ('["phpunit", "@php -r \\"exit(1);\\""]', "failed", 0),
        ('"phpunit | cat"', "passed", 0),
    ],
)
async def test_composers_script_is_the_truth(
    context: Context, workspace: Path, script: str, verdict: str, tests: int
) -> None:
    put(workspace, {**PHP, "composer.json": f'{{"scripts": {{"test": {script}}}}}'})
    report = await context.testrun.run()
    assert (report.verdict, report.command, len(report.cases)) == (verdict, "composer test", tests), report.trouble
    report = await context.testrun.run(["ATest.php"])
    assert (report.verdict, report.runner) == ("passed", "phpunit")


@pytest.mark.real
@needs("composer", "phpunit")
async def test_a_script_of_phpunit_that_ends_in_mid_test_is_broken(context: Context, workspace: Path) -> None:
    quits = "  function testQuits() { exit(0); }\n"
    put(workspace, {**PHP, "ATest.php": PHP_TESTS % quits, "composer.json": '{"scripts": {"test": "phpunit"}}'})
    assert (await context.testrun.run()).verdict == "broken"
