"""The README's text, its code blocks, and the tables of its reference as the code itself gives them."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from kimi_agent.cli.commands import main
from kimi_agent.cli.commands.completion import command_tree
from kimi_agent.cli.run import flags
from kimi_agent.config import SETTINGS
from kimi_agent.faces.slash_commands import SLASH_COMMANDS
from kimi_agent.workspace.testrun.proof_rules import PROOF_RULES
from tests.real.runner_traps.harness import load_by_documentation, load_cells
from tests.real.runner_traps.table import matrix_table

README_FILE = Path(__file__).resolve().parent.parent / "README.md"
README = README_FILE.read_text("utf-8")
WRITTEN = re.compile(r"(?s)(?<=<!-- written by `make golden`: )(?P<title>\w+)( -->\n).*?(?=\n<!-- end -->)")
"""The parts of the README that the code writes, by their titles."""


def blocks(language: str, marker: str = "") -> list[str]:
    """The code blocks of a language that hold `marker`."""
    found = re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    return [block for block in found if marker in block]


def commands() -> dict[str, Any]:
    """The typer commands by their words; "" is a run, "sessions list" a subcommand."""
    return command_tree(flags.run_app, main.commands_app)


def written_parts() -> dict[str, str]:
    """What stands in the README between two such marks, by title."""
    return {
        "rules": _table("", ("rule", "what it takes"), ((each.key, each.needs) for each in PROOF_RULES)).strip(),
        "runners": matrix_table(load_cells(), load_by_documentation()),
        "reference": reference(),
    }


def reference() -> str:
    """Every flag, command, slash command and setting, as tables."""
    tables = (
        ("Flags of a run", ("flag", "does"), _flag_rows()),
        ("Commands", ("command", "does", "flags"), _command_rows()),
        ("In the REPL", ("command", "does"), _slash_rows()),
        ("Settings", ("setting", "default", "meaning (\\*: a trusted project may set it too)"), _setting_rows()),
    )
    return "".join(_table(title, head, rows) for title, head, rows in tables)


def _table(title: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = "".join(f"| {' | '.join(row)} |\n".replace("  ", " ") for row in rows)
    heading = f"\n### {title}\n\n" if title else ""
    return f"{heading}| {' | '.join(head)} |\n{'|---' * len(head)}|\n{lines}"


def _code(text: str) -> str:
    return "`" + text.replace("|", "\\|") + "`"


def _flag_rows() -> Iterator[tuple[str, ...]]:
    return ((_code(_spelling(each)), each.help) for each in commands()[""].params if _is_flag(each))


def _command_rows() -> Iterator[tuple[str, ...]]:
    for words, command in commands().items():
        if words and not getattr(command, "commands", None):
            arguments = [_argument(each) for each in command.params if not _is_flag(each)]
            own = [_code(_spelling(each)) for each in command.params if _is_flag(each) and "--cd" not in each.opts]
            yield _code(" ".join(["kimi-agent", words, *arguments])), command.help.split("\n")[0], " ".join(own)


def _slash_rows() -> Iterator[tuple[str, ...]]:
    for each in SLASH_COMMANDS:
        names = [_code(f"/{each.name} {each.takes}".rstrip()), *(_code(f"/{alias}") for alias in each.aliases)]
        yield ", ".join(names), each.description


def _setting_rows() -> Iterator[tuple[str, ...]]:
    for key, setting in SETTINGS.items():
        default = json.dumps(setting.default)
        yield _code(key) + ("\\*" if setting.project else ""), _code(default), setting.meaning.replace("|", "\\|")


def _is_flag(parameter: Any) -> bool:
    return any(spelling.startswith("-") for spelling in parameter.opts)


def _spelling(flag: Any) -> str:
    value = "" if flag.is_flag else f" {flag.metavar or flag.name.upper()}"
    return ", ".join((*flag.opts, *flag.secondary_opts)) + value


def _argument(parameter: Any) -> str:
    name: str = parameter.metavar or parameter.name.upper()
    return name if parameter.required or name.startswith("[") else f"[{name}]"
