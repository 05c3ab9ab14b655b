"""ExUnit formatter: a JSON line as each test begins and ends.

ExUnit writes nothing but text, and names the tests that pass only with `--trace`, which also lifts every time-out and
runs one test at a time (1.14): a test that is red by its time-out would be green.
"""

from collections.abc import Mapping
from pathlib import Path

EXUNIT_FORMATTER_FILE, EXUNIT_FORMATTER_MODULE = "exunit_formatter.exs", "KimiAgentReport"
_EXUNIT_REPORT = "KIMI_AGENT_EXUNIT_REPORT"

# Elixir has a JSON encoder of its own only since 1.18.
EXUNIT_FORMATTER = r"""defmodule KimiAgentReport do
  use GenServer

  def init(options) do
    {:ok, file} = :file.open(System.fetch_env!("KIMI_AGENT_EXUNIT_REPORT"), [:append, :raw])
    # `--only` and `file:line` leave all tests out but those that they include.
    narrowed = if :test in Keyword.get(options, :exclude, []), do: "yes", else: ""
    say(file, kind: "start", narrowed: narrowed, folder: File.cwd!())
    {:ok, file}
  end

  def handle_cast({:test_started, test}, file) do
    say(file, [kind: "begin"] ++ fields(test))
    {:noreply, file}
  end

  def handle_cast({:test_finished, test}, file) do
    {outcome, text} = outcome(test.state, test)
    say(file, [kind: "end", outcome: outcome, text: text] ++ fields(test))
    {:noreply, file}
  end

  def handle_cast({:suite_finished, _times}, file) do
    say(file, kind: "done")
    {:noreply, file}
  end

  def handle_cast(_event, file), do: {:noreply, file}

  defp fields(test) do
    [file: test.tags.file, line: "#{test.tags.line}", module: inspect(test.module), name: Atom.to_string(test.name)]
  end

  defp outcome(nil, _test), do: {"passed", ""}
  defp outcome({:skipped, why}, _test), do: {"skipped", why}
  defp outcome({:excluded, why}, _test), do: {"excluded", why}

  defp outcome({:failed, failures}, test),
    do: {"failed", ExUnit.Formatter.format_test_failure(test, failures, 1, 80, &plain/2)}

  defp outcome({:invalid, %{state: {:failed, failures}} = module}, _test),
    do: {"error", ExUnit.Formatter.format_test_all_failure(module, failures, 1, 80, &plain/2)}

  defp outcome(other, _test), do: {"error", inspect(other)}

  defp plain(:diff_enabled?, _), do: false
  defp plain(_, text), do: text

  defp say(file, fields) do
    pairs = Enum.map(fields, fn {key, value} -> ["\"#{key}\":\"", quoted(value), "\""] end)
    :ok = :file.write(file, ["{", Enum.intersperse(pairs, ","), "}\n"])
  end

  defp quoted(value) do
    text = if is_binary(value) and String.valid?(value), do: value, else: inspect(value)
    for <<char::utf8 <- text>>, into: "", do: escaped(char)
  end

  defp escaped(?"), do: "\\\""
  defp escaped(?\\), do: "\\\\"
  defp escaped(char) when char < 32, do: "\\u" <> String.pad_leading(Integer.to_string(char, 16), 4, "0")
  defp escaped(char), do: <<char::utf8>>
end

# mix takes a file of the same size and the same second for unchanged, and would test the code from before the edit.
# `--force` would not reach what an alias or a project beside this one compiles first. Old manifests do.
for root <- [System.get_env("MIX_BUILD_ROOT", "_build"), "../../_build"],
    manifest <- Path.wildcard(Path.join(root, "*/lib/*/.mix/compile.elixir"), match_dot: true),
    do: File.touch(manifest, 1)
"""


def exunit_environment(report: Path) -> Mapping[str, str]:
    """The variable that tells the formatter where to write."""
    return {_EXUNIT_REPORT: str(report)}
