"""Shell completion scripts for bash, zsh and fish: static text, so that pressing Tab starts no Python."""

from collections.abc import Iterator
from typing import Any

import typer.main

from kimi_agent.errors import UserError

COMPLETION_SHELLS = ("bash", "zsh", "fish")


def list_flags(command: Any) -> Iterator[tuple[str, str]]:
    """Each flag of a typer command with its help text."""
    for parameter in command.params:
        for spelling in (*parameter.opts, *parameter.secondary_opts):
            if spelling.startswith("-"):
                yield spelling, parameter.help or ""


def command_tree(run: typer.Typer, manage: typer.Typer) -> dict[str, Any]:
    """The commands by their words: "" is a run, "sessions list" the subcommand."""
    found: dict[str, Any] = {"": typer.main.get_command(run)}
    group: Any = typer.main.get_command(manage)
    for name, command in group.commands.items():
        found[name] = command
        found |= {f"{name} {inner}": each for inner, each in getattr(command, "commands", {}).items()}
    return found


def completion_script(shell: str, commands: dict[str, Any]) -> str:
    """The script for `shell` that completes `commands`. Raises UserError for a shell that we do not know."""
    match shell:
        case "bash":
            return _bash(commands)
        case "zsh":
            return "autoload -U +X bashcompinit && bashcompinit\n" + _bash(commands)
        case "fish":
            return _fish(commands)
        case _:
            raise UserError(f"There is no completion for {shell!r}; known: {', '.join(COMPLETION_SHELLS)}.")


def _words(commands: dict[str, Any], path: str) -> str:
    inner = [name.removeprefix(path).strip() for name in commands if name.startswith(f"{path} ".lstrip())]
    own = [name for name in inner if name and " " not in name]
    return " ".join([*own, *(spelling for spelling, _ in list_flags(commands[path])), "--help"])


def _bash(commands: dict[str, Any]) -> str:
    cases = [f'    "{path}") words="{_words(commands, path)}" ;;' for path in commands if path]
    return "\n".join(
        [
            "_kimi_agent() {",
            '  local word="${COMP_WORDS[COMP_CWORD]}" words',
            '  local path="${COMP_WORDS[1]}"',
            '  [ "$COMP_CWORD" -eq 1 ] && path=""',
            '  [ "$COMP_CWORD" -gt 2 ] && case "$path" in sessions|config) path="$path ${COMP_WORDS[2]}" ;; esac',
            '  case "$path" in',
            *cases,
            f'    *) words="{_words(commands, "")}" ;;',
            "  esac",
            '  COMPREPLY=($(compgen -W "$words" -- "$word"))',
            '  [ ${#COMPREPLY[@]} -eq 0 ] && COMPREPLY=($(compgen -f -- "$word"))',
            "}",
            "complete -o filenames -F _kimi_agent kimi-agent",
        ]
    )


def _fish(commands: dict[str, Any]) -> str:
    tops = [path for path in commands if path and " " not in path]
    lines = [f"complete -c kimi-agent -n __fish_use_subcommand -a '{name}'" for name in tops]
    for path, command in commands.items():
        words = path.split()
        guard = " ; and ".join(f"__fish_seen_subcommand_from {w}" for w in words) or "__fish_use_subcommand"
        if len(words) == 2:
            lines.append(f"complete -c kimi-agent -n '__fish_seen_subcommand_from {words[0]}' -a '{words[1]}'")
        for spelling, help_text in list_flags(command):
            kind = f"-l {spelling[2:]}" if spelling.startswith("--") else f"-s {spelling[1:]}"
            quoted = help_text.replace("'", "\\'")
            lines.append(f"complete -c kimi-agent -n '{guard}' {kind} -d '{quoted}'")
    return "\n".join(lines)
