"""Slash commands: the table of the built-in ones, and the parser of a typed line."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"/([A-Za-z][\w:-]*)(?:\s+(.*))?\s*$", re.DOTALL)


@dataclass(frozen=True)
class SlashCommand:
    """A built-in command; `takes` says what may follow it."""

    name: str
    description: str
    takes: str = ""
    aliases: tuple[str, ...] = ()


SLASH_COMMANDS: tuple[SlashCommand, ...] = (
    SlashCommand("help", "keys and commands"),
    SlashCommand("clear", "start a new session; this one stays saved", aliases=("new",)),
    SlashCommand("resume", "list the saved sessions, or open one", "[ID]", ("sessions",)),
    SlashCommand("undo", "take back the last turn: chat and files"),
    SlashCommand("redo", "bring back what /undo or /rewind took"),
    SlashCommand("rewind", "list the turns, or go back to before one", "[N [chat|code|both] [FILE]]"),
    SlashCommand("diff", "what was changed in the files", "[turn N|session|since-green]"),
    SlashCommand("compact", "make room in the window; the words say what to dwell on", "[WORDS|--preview|undo]"),
    SlashCommand("cost", "tokens and money: of this turn, this run, the session and today"),
    SlashCommand("model", "show the model, or change it", "[NAME]"),
    SlashCommand("mode", "show how calls are approved, or change it", "[ask|accept-edits|plan]"),
    SlashCommand("status", "session, model, folder, mode, tokens"),
    SlashCommand("exit", "leave; the session is saved", aliases=("quit",)),
)
CYCLED_MODES = ("ask", "accept-edits", "plan")


@dataclass(frozen=True)
class TypedCommand:
    """A built-in command that was typed, by its own name, and what followed it."""

    name: str
    rest: str


@dataclass(frozen=True)
class TypedPrompt:
    """A line for the model: `text` is sent; `shown` is what the person typed for it."""

    text: str
    shown: str


@dataclass(frozen=True)
class UnknownCommand:
    """A command that there is not; `text` says so and names the nearest ones."""

    text: str


def parse_typed_line(line: str, prompts: Mapping[str, str]) -> TypedCommand | TypedPrompt | UnknownCommand:
    """What a typed line asks for. `prompts` are the commands from files, by name; a built-in one cannot be replaced.

    A line that begins with a path (`/usr/bin/env is missing`) is not a command.
    """
    match = _WORD.match(line.strip())
    if match is None:
        return TypedPrompt(line, line)
    word, rest = match.group(1), (match.group(2) or "").strip()
    for command in SLASH_COMMANDS:
        if word.lower() in (command.name, *command.aliases):
            return TypedCommand(command.name, rest)
    if word in prompts:
        return TypedPrompt(fill_prompt_command(prompts[word], rest), line.strip())
    return UnknownCommand(_unknown(word, prompts))


def fill_prompt_command(template: str, words: str) -> str:
    """A prompt file with `$ARGUMENTS` replaced by what was typed behind the command, or that at its end."""
    if "$ARGUMENTS" in template:
        return template.replace("$ARGUMENTS", words)
    return f"{template.rstrip()}\n\n{words}" if words else template


def slash_command_names(prompts: Mapping[str, str]) -> list[str]:
    """Every name that can be typed behind the slash."""
    built_in = [name for command in SLASH_COMMANDS for name in (command.name, *command.aliases)]
    return sorted({*built_in, *prompts})


def matching_commands(text: str, prompts: Mapping[str, str]) -> list[tuple[str, str]]:
    """Commands that `text` ("/mo") may become, each with what it does; none once there is a blank."""
    if not text.startswith("/") or any(each.isspace() for each in text):
        return []
    does = {command.name: command.description for command in SLASH_COMMANDS}
    does |= {alias: f"the same as /{command.name}" for command in SLASH_COMMANDS for alias in command.aliases}
    return [
        (name, does.get(name) or describe_prompt_command(prompts[name]))
        for name in slash_command_names(prompts)
        if name.startswith(text[1:])
    ]


def describe_prompt_command(template: str) -> str:
    """What a prompt file says of itself: its first line that is not empty."""
    lines = (line.strip("# \t") for line in template.splitlines())
    return next((line for line in lines if line), "")


def help_entries(prompts: Mapping[str, str], keys: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The sheet of keys and commands, in two columns."""
    rows = [*keys, ("", "")]
    for command in SLASH_COMMANDS:
        also = "".join(f", /{alias}" for alias in command.aliases)
        rows.append((f"/{command.name} {command.takes}".rstrip() + also, command.description))
    rows += [(f"/{name}", describe_prompt_command(text)) for name, text in sorted(prompts.items())]
    return rows


def _unknown(word: str, prompts: Mapping[str, str]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(word.lower(), slash_command_names(prompts), n=3, cutoff=0.5)
    meant = f"; did you mean {' or '.join('/' + name for name in near)}?" if near else "; /help lists what there is."
    return f"There is no command /{word}{meant}"
