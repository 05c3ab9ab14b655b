"""Test runner registry: the built-in runners and those of the person and the project, in the order they are tried."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from kimi_agent.layers import Layer
from kimi_agent.plugins import BrokenPlugin, load_plugins
from kimi_agent.workspace.testrun.runner import TestRunner
from kimi_agent.workspace.testrun.runner_file import read_runner_file

_BUILT_IN = Layer("built-in", Path(__file__).parent, __name__.rpartition(".")[0])


def load_runners(layers: Sequence[Layer]) -> tuple[dict[str, TestRunner], list[BrokenPlugin]]:
    """The test runners in the layers' `runners/` by name, and the files that failed."""
    return load_plugins(layers, "runners", TestRunner, read_toml=read_runner_file)


def list_runners(own: Mapping[str, TestRunner]) -> tuple[TestRunner, ...]:
    """The built-in runners and the person's `own`, which replace those of their name; by their `order`.

    Loads the built-in ones: 50 ms, the first time.
    """
    built_in, broken = load_runners([_BUILT_IN])
    assert not broken, broken
    return tuple(sorted({**built_in, **own}.values(), key=lambda runner: (runner.order, runner.name)))
