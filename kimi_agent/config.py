"""Settings in layers: built-in < user < trusted project < environment < flags. The result is one frozen Config.

A project's file may set nothing that loosens safety or says where requests and keys go: such a key in it is left out
and reported.
"""

import difflib
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kimi_agent.errors import UserError

DEFAULT_MODEL = "kimi-k2.6"
DEFAULT_BASE_URL = "https://api.moonshot.ai/v1"
DEFAULT_WINDOW_TOKENS = 262_144


@dataclass(frozen=True)
class Setting:
    """One key: its default (which gives its type), what it is for, and whether a project's own file may set it."""

    default: Any
    meaning: str
    project: bool = False


SETTINGS: Mapping[str, Setting] = {
    "model": Setting(DEFAULT_MODEL, "model id, or tape:FILE for a scripted one"),
    "base_url": Setting(DEFAULT_BASE_URL, "OpenAI-compatible endpoint"),
    "key_env": Setting("", "environment variable that holds the key (default: KIMI_API_KEY, then MOONSHOT_API_KEY)"),
    "key_command": Setting("", "command that prints the key"),
    "thinking": Setting(True, "let the model think before it answers", project=True),
    "max_output": Setting(
        0, "tokens of one answer at most, reasoning included (0: the server's default)", project=True
    ),
    "window": Setting(DEFAULT_WINDOW_TOKENS, "tokens that the model can take, input and output together", project=True),
    "mode": Setting("ask", "ask, accept-edits, plan or yolo"),
    "max_steps": Setting(1000, "model calls per turn", project=True),
    "timeout": Setting(0, "seconds that a turn may take (0: no limit)"),
    **{
        f"budget.{scope}_{unit}": Setting(zero, f"{what} that a {scope} may cost, sub-agents and summaries included")
        for scope in ("turn", "run", "session", "day")
        for unit, zero, what in (("usd", 0.0, "dollars"), ("tokens", 0, "tokens"))
    },
    "price.input": Setting(0.0, "dollars per million input tokens, where we do not know the model's price"),
    "price.cached": Setting(0.0, "the same for those that the provider had cached"),
    "price.output": Setting(0.0, "dollars per million output tokens"),
    "compact.at": Setting(80, "percent of the window from which on room is made in the conversation", project=True),
    "retry.unattended_s": Setting(7200, "how long a run without a person goes on trying what may pass"),
    "retry.wait_for_quota": Setting(False, "wait until a rate or period limit is over, however long it takes"),
    "partial_mode": Setting("auto", "go on with a broken answer by Moonshot's partial mode: auto (its hosts), on, off"),
    "clocks.connect_s": Setting(10, "seconds to wait for a connection"),
    "clocks.first_byte_s": Setting(120, "seconds to wait for the first byte of an answer"),
    "clocks.no_bytes_s": Setting(90, "seconds of silence within an answer"),
    "clocks.no_content_s": Setting(600, "seconds without a word, while bytes come"),
    "clocks.attempt_s": Setting(1800, "seconds that one answer may take"),
    "test_command": Setting("", "command that runs this repository's tests", project=True),
    "require_green": Setting(False, "exit 4 unless a passing test run proves what was changed", project=True),
    "checkpoints.keep_days": Setting(30, "how long snapshots of the files are kept"),
    "checkpoints.max_mb": Setting(2000, "how much the snapshots of one workspace may take on the disk"),
    "checkpoints.max_file_mb": Setting(20, "bigger files are not kept, so their changes cannot be undone"),
    "commit.auto": Setting(False, "commit what a verified turn changed"),
    "commit.branch": Setting("new", "new (kimi-agent/...) or current: where such commits go"),
    "commit.pull_request": Setting(False, "push such a branch and open a pull request with gh"),
    "permissions.allow": Setting((), 'calls that need no question, such as "shell(git status)"'),
    "permissions.deny": Setting((), 'calls that are never made, such as "shell(curl)"', project=True),
    "env.pass": Setting((), "names of environment variables that commands may see, besides the usual ones"),
    "workspace.add_dirs": Setting((), "folders outside the workspace that tools may read and write"),
}

_ENVIRONMENT: Mapping[str, str] = {
    "KIMI_BASE_URL": "base_url",
    "KIMI_MODEL": "model",
    "KIMI_MODEL_NAME": "model",  # the name that Moonshot's own CLI reads
}


@dataclass(frozen=True)
class Config:
    """Every setting's value, where it came from, and what had to be left out."""

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    problems: tuple[str, ...] = field(default=())

    def text(self, key: str) -> str:
        """A string setting."""
        return str(self.values[key])

    def number(self, key: str) -> int:
        """A whole-number setting."""
        return int(self.values[key])

    def amount(self, key: str) -> float:
        """A number that may have a fraction."""
        return float(self.values[key])

    def on(self, key: str) -> bool:
        """A yes-or-no setting."""
        return bool(self.values[key])

    def texts(self, key: str) -> tuple[str, ...]:
        """A setting that is a list of strings."""
        return tuple(self.values[key])


def load_config(
    user: Path, project: Path | None, environ: Mapping[str, str], flags: Mapping[str, Any], sets: Sequence[str]
) -> Config:
    """The settings of all layers. `flags` hold what was typed (None: not typed), `sets` are `key=value` texts.

    Raises UserError for a file that is not TOML, an unknown key, or a value of the wrong type.
    """
    values: dict[str, Any] = {key: setting.default for key, setting in SETTINGS.items()}
    sources = dict.fromkeys(SETTINGS, "built in")
    problems: list[str] = []

    def take(found: Mapping[str, Any], source: str) -> None:
        for key, value in found.items():
            checked = _check_value(key, value, source)
            # Denials add up: a later layer may forbid more, never less.
            values[key] = values[key] + checked if key == "permissions.deny" else checked
            sources[key] = source

    take(_read_toml(user), str(user))
    if project is not None:
        own = _read_toml(project)
        loosening = [key for key in own if key in SETTINGS and not SETTINGS[key].project]
        if loosening:
            problems.append(f"{project} may not set {', '.join(loosening)}; set it in {user}.")
        take({key: value for key, value in own.items() if key not in loosening}, str(project))
    for name, key in _ENVIRONMENT.items():
        if value := environ.get(name, "").strip():
            take({key: value}, name)
    take({key: value for key, value in flags.items() if value is not None}, "command line")
    take(dict(_parse_assignment(text) for text in sets), "--set")
    return Config(values, sources, tuple(problems))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return _flatten(tomllib.load(file))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.", 78) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}.", 78) from error


def _flatten(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flatten(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


def _check_value(key: str, value: Any, source: str) -> Any:
    setting = SETTINGS.get(key)
    if setting is None:
        near = difflib.get_close_matches(key, SETTINGS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(SETTINGS)}."
        raise UserError(f"Unknown setting {key!r} ({source}); {hint}", 78)
    default = setting.default
    if isinstance(default, tuple):
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list | tuple) and all(isinstance(each, str) for each in value):
            return tuple(value)
        raise UserError(f"The setting {key} ({source}) must be a list of strings.", 78)
    if isinstance(default, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(default):
        kind = {str: "a string", bool: "true or false", int: "a whole number", float: "a number"}[type(default)]
        raise UserError(f"The setting {key} ({source}) must be {kind}, not {value!r}.", 78)
    least = 0 if default == 0 else 1
    if isinstance(value, int | float) and not isinstance(value, bool) and not least <= value < math.inf:
        raise UserError(f"The setting {key} ({source}) must be at least {least}, and finite.", 78)
    return value


def _parse_assignment(text: str) -> tuple[str, Any]:
    key, equals, raw = text.partition("=")
    if not equals:
        raise UserError(f"--set takes key=value, not {text!r}.")
    key = key.strip()
    try:
        value = tomllib.loads(f"value = {raw}")["value"]
    except tomllib.TOMLDecodeError:
        value = raw  # a bare word is a string: --set mode=plan
    if key in SETTINGS and isinstance(SETTINGS[key].default, str) and not isinstance(value, str):
        value = raw
    return key, value
