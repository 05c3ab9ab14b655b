"""Path rules held against real paths: which rule fits a file, and which protected name closes it."""

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from kimi_agent.guard.policy.protected_names import find_protected_name, resolve_protected_links
from kimi_agent.guard.policy.rules import Rule
from kimi_agent.workspace.files.access_rules import AccessRules
from kimi_agent.workspace.paths import is_beneath


@dataclass(frozen=True)
class Place:
    """Where calls are judged: real paths. `roots` are the workspace and the added folders, `start` is where the
    session's shell began."""

    workspace: str
    home: str
    roots: tuple[str, ...]
    start: str


@dataclass(frozen=True)
class PathRules:
    """Matches absolute real paths. `roots` are the workspace and the added folders, the workspace first.

    `access` knows our own folders; `hooks_folders` gives those that git takes hooks from, beside the usual ones.
    """

    roots: tuple[str, ...]
    access: AccessRules = field(default_factory=AccessRules)
    hooks_folders: Callable[[], Sequence[str]] = tuple

    def fits(self, rule: Rule, names: Iterable[str], *, deny: bool) -> bool:
        """Whether a path rule is for a path with these absolute names: for a denial one of them, else all."""
        globs = self._all(rule) if deny else [rule]
        fits = (any(self._fits_name(each, name, deny=deny) for each in globs) for name in names)
        return any(fits) if deny else all(fits)

    def _fits_name(self, rule: Rule, name: str, *, deny: bool) -> bool:
        if rule.glob.startswith("/"):
            return rule.matches_path(name, any_case=deny)
        workspace = self.roots[0]
        if is_beneath(name, workspace):
            return rule.matches_path(name[len(workspace) :].lstrip("/") or ".", any_case=deny)
        # A glob of names alone (`*.pem`) is a denial for every folder; an allowance is for the workspace.
        return deny and "/" not in rule.glob.rstrip("/") and rule.matches_path(name, any_case=True)

    def _all(self, rule: Rule) -> Sequence[Rule]:
        return (rule, *self._resolved(rule))

    def _resolved(self, rule: Rule) -> Sequence[Rule]:
        """A denial for where its name leads: `write(current/**)` is also for what the link `current` names now."""
        folder = rule.literal_folder
        whole = os.path.join(self.roots[0], folder)
        real = os.path.realpath(whole) if folder and ("/" in rule.glob or rule.glob == folder) else whole
        return () if real == os.path.normpath(whole) else (replace(rule, glob=real + rule.glob[len(folder) :]),)

    def fits_below(self, rule: Rule, folder: str) -> bool:
        """Whether a path rule may be for something in `folder`: what runs or looks there may reach it."""
        return any(is_beneath(os.path.join(self.roots[0], each.literal_folder), folder) for each in self._all(rule))

    def relative(self, path: str) -> str:
        """`path` from the top of the workspace, as it is where it lies outside."""
        workspace = self.roots[0]
        return path[len(workspace) :].lstrip("/") if is_beneath(path, workspace) else path

    def is_outside(self, path: str) -> bool:
        """Whether it lies in none of the roots."""
        return not any(is_beneath(path, root) for root in self.roots)

    def find_protected(self, paths: Iterable[str]) -> str:
        """The first protected name in the `paths` that a call would write, "" if there is none."""
        links = resolve_protected_links(self.roots)
        for path in paths:
            root = next((root for root in self.roots if is_beneath(path, root)), "")
            if found := find_protected_name(path[len(root) :]):
                return found
            if beneath := next((each for each in (*links, *self.hooks_folders()) if is_beneath(path, each)), ""):
                return links.get(beneath, os.path.basename(beneath))
            if self.access.is_private(path, self.roots[0]):
                return next(os.path.basename(each) for each in self.access.private if is_beneath(path, each))
        return ""
