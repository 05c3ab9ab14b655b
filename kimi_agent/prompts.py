"""Prompt texts: fills the system prompt, finds slash commands in files, collects a repository's AGENTS.md."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kimi_agent.errors import UserError
from kimi_agent.layers import Layer, find_layer_files

AGENTS_MAX_CHARS = 24_000
"""A repository's instructions are paid for in every request; the rest can be read like any file."""

_SLOT = re.compile(r"\{\{\s*(\w+)\s*\}\}")


def fill_template(template: str, values: Mapping[str, str]) -> str:
    """`template` with its `{{ name }}` slots filled. A slot without a value stays as it is: text may hold braces."""
    return _SLOT.sub(lambda match: values.get(match[1], match[0]), template)


def build_system_prompt(layers: Sequence[Layer], values: Mapping[str, str], agents: str) -> str:
    """The system prompt of a session. Raises UserError where no layer has a readable `prompts/system.md`."""
    text = fill_template(read_template(layers, "system"), values).strip()
    return f"{text}\n\n{agents}".strip() + "\n"


def read_template(layers: Sequence[Layer], name: str) -> str:
    """The text of `prompts/NAME.md` of the last layer that has one. Raises UserError where none does."""
    path = find_layer_files(layers, "prompts", ".md").get(name)
    if path is None:
        raise UserError(f"prompts/{name}.md is missing from this installation; install kimi-agent again.", 78)
    return read_prompt_file(path)


def find_prompt_commands(layers: Sequence[Layer]) -> dict[str, Path]:
    """The slash commands that are files: name -> Markdown file (`$ARGUMENTS` in it is what was typed behind)."""
    return find_layer_files(layers, "prompts/commands", ".md")


def read_prompt_file(path: Path, max_chars: int = 200_000) -> str:
    """The text of one of our own Markdown files. Raises UserError naming the file."""
    try:
        with path.open("rb") as file:
            return file.read(max_chars).decode("utf-8-sig", "replace").replace("\r\n", "\n")
    except OSError as error:
        raise UserError(f"Cannot read {path}: {error.strerror}.", 78) from error


def collect_agents_files(read: Callable[[str], str | None], folders: Sequence[str]) -> str:
    """A repository's instructions for agents, nearest folder last, marked as the repository's and capped.

    `read(path)` gives a file's text or None. In each folder AGENTS.md is taken, else CLAUDE.md. It is text, never a
    permission: what it asks for goes through the same gates as everything else.
    """
    found: list[str] = []
    room = AGENTS_MAX_CHARS
    for folder in folders:
        for name in ("AGENTS.md", "CLAUDE.md"):
            path = f"{folder}/{name}".lstrip("/") if folder else name
            text = read(path)
            if text and text.strip() and room > 0:
                cut = text.strip()[:room]
                if len(cut) < len(text.strip()):
                    cut += f"\n[cut here: read {path} for the rest]"
                room -= len(cut)
                found.append(f'<repository-instructions path="{path}">\n{cut}\n</repository-instructions>')
                break
    return "\n\n".join(found)
