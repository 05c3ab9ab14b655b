"""The syntax tree of a shell text as frozen values: commands, and groups of commands."""

from dataclasses import dataclass, replace
from typing import Literal

from kimi_agent.guard.shell.syntax.words import ShellWord, ShellWords

GroupKind = Literal["sequence", "subshell", "pipeline", "chain", "either"]


@dataclass(frozen=True)
class Redirect:
    """A redirect to or from a file: its operator without the descriptor, and its target."""

    operator: str
    target: ShellWord


@dataclass(frozen=True)
class Assignment:
    """`name=value`; `appends` for +=. The elements of an array are one value, with blanks between them."""

    name: str
    value: ShellWord
    appends: bool = False


@dataclass(frozen=True)
class ShellCommand:
    """One simple command as written. `documents` are what its here-documents and here-strings hold.

    `substitutions` are the groups of `$(...)` and the like in its words.
    """

    words: ShellWords = ()
    assignments: tuple[Assignment, ...] = ()
    redirects: tuple[Redirect, ...] = ()
    documents: ShellWords = ()
    substitutions: tuple["ShellGroup", ...] = ()


@dataclass(frozen=True)
class ShellGroup:
    """Commands that belong together; `documents` are handed to all of them.

    `either` is a branch or a loop, which may also not run; a `chain` has its && and || as `operators`.
    """

    kind: GroupKind
    parts: tuple["ShellNode", ...]
    documents: ShellWords = ()
    operators: tuple[str, ...] = ()


ShellNode = ShellCommand | ShellGroup


@dataclass(frozen=True)
class ShellScript:
    """A parsed text. `unclear` says why it could not be read for sure; "" if it could."""

    root: ShellGroup
    unclear: str


def with_redirects(node: ShellNode, added: ShellCommand) -> ShellNode:
    """`node` with redirects and documents: of its last command, or of all in a group that has them as a whole."""
    if isinstance(node, ShellCommand):
        return ShellCommand(
            node.words + added.words,
            node.assignments,
            node.redirects + added.redirects,
            node.documents + added.documents,
            node.substitutions + added.substitutions,
        )
    if node.kind in {"chain", "pipeline"}:
        return replace(node, parts=(*node.parts[:-1], with_redirects(node.parts[-1], added)))
    opened = replace(added, words=(), documents=())
    return ShellGroup("sequence", (opened, replace(node, documents=node.documents + added.documents)))


def with_stages(node: ShellNode, stages: tuple[ShellNode, ...]) -> ShellNode:
    """`node` whose last command is piped into `stages`."""
    if isinstance(node, ShellGroup) and node.kind == "chain":
        return replace(node, parts=(*node.parts[:-1], with_stages(node.parts[-1], stages)))
    before = node.parts if isinstance(node, ShellGroup) and node.kind == "pipeline" else (node,)
    return ShellGroup("pipeline", (*before, *stages))
