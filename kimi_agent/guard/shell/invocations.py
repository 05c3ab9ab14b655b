"""Walk over a shell text: every command that would run, with the state of the shell that it would run in.

The one reading that all judges of commands use. Commands are found behind launchers (`sudo`, `xargs`, `find -exec`),
in texts that a shell is given (`sh -c`, `eval`, here-documents, `| sh`), in substitutions, and in the texts that other
programs run (`embedded_commands`).
"""

import glob
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

from kimi_agent.guard.shell.embedded_commands import (
    DATA_PROGRAMS,
    find_embedded_commands,
    find_shell_texts,
    is_fed_by_decoder,
)
from kimi_agent.guard.shell.expansion import (
    ShellState,
    expand_word,
    has_pattern,
    join_parts,
    resolve_parts,
    split_fields,
    unescape_pattern,
)
from kimi_agent.guard.shell.invocation import Invocation, Launch
from kimi_agent.guard.shell.launchers import (
    find_handed_removal,
    find_launched,
    find_launched_texts,
    find_launcher,
    find_option_commands,
)
from kimi_agent.guard.shell.mounts import find_mounts
from kimi_agent.guard.shell.shell_state import change_folder, collect_variables, make_links
from kimi_agent.guard.shell.syntax.parser import TOO_DEEP, TOO_MANY_OPERATORS, parse_shell
from kimi_agent.guard.shell.syntax.tree import ShellCommand, ShellGroup, ShellNode
from kimi_agent.guard.shell.syntax.words import ShellWord, ShellWords, literal_word, word_text, words_text

MAX_DEPTH = 16
"""Steps into a command: a launcher and the text of a shell are one each, so eight of both."""
MAX_TEXTS = 400
MAX_WORDS = 4_000
MAX_PIECES = 200
MAX_FITTING_FILES = 40

TOO_MANY_WORDS = f"more than {MAX_WORDS:,} words"
UNREADABLE = frozenset({TOO_DEEP, TOO_MANY_WORDS, TOO_MANY_OPERATORS})
"""Reasons by which a text is unclear because it goes past our limits."""
_BREAKS = re.compile(r"[;&|()<>`\n{}]+")
_RUN_BY_VARIABLE = re.compile(
    r"\w*(PAGER|EDITOR|VISUAL|COMMAND|ASKPASS|BROWSER|EXTERNAL_DIFF|LESSOPEN)|GIT_SSH|PS[0-4]"
)
"""Variables whose value a program or the shell runs."""
_BRACES = re.compile(r"\{([^{}\s]*,[^{}\s]*)\}")
_EXITS = frozenset({"exit", "return", "die", "false", "break", "continue"})


@dataclass(frozen=True)
class ShellWalk:
    """All the commands of a text. `unclear` says why some may be missing or misread; "" if none is."""

    invocations: tuple[Invocation, ...]
    unclear: str


def find_invocations(text: str, place: ShellState) -> ShellWalk:
    """Every command that `text` would run in a shell that begins at `place`. Never raises."""
    (walker := _Walker()).walk_text(text, place, _Around())
    return ShellWalk(tuple(walker.found), walker.unclear)


@dataclass(frozen=True)
class _Around:
    """The surroundings of a command; only where `doubtful` a text that is not clear makes the whole unclear."""

    documents: ShellWords = ()
    fed: tuple[Invocation, ...] = ()
    launchers: tuple[Launch, ...] = ()
    remote: bool = False
    certain: bool = True
    doubtful: bool = True
    depth: int = 0

    def deeper(self, *, certain: bool = True) -> "_Around":
        return replace(self, depth=self.depth + 1, certain=self.certain and certain)


@dataclass(frozen=True)
class _Outcome:
    """The states of the shell after a command: if it succeeded, and if it failed (None: it ends there)."""

    success: ShellState
    failure: ShellState | None

    def either(self) -> ShellState:
        if self.failure is None or self.failure is self.success:
            return self.success
        return replace(self.success, cwds=tuple(dict.fromkeys((*self.success.cwds, *self.failure.cwds)))[:8])


class _Walker:
    """Collects the commands of a text and of the texts within it; counts what it reads, so that no text can last."""

    def __init__(self) -> None:
        self.found: list[Invocation] = []
        self.unclear = ""
        self._texts = 0
        self._words = 0
        self._stops_at_failure = False
        self._aliases: dict[str, str] = {}

    def walk_text(self, text: str, state: ShellState, around: _Around) -> None:
        """Read `text` as another shell would."""
        self._texts += 1
        if around.depth > MAX_DEPTH or self._texts > MAX_TEXTS:
            self._doubt(TOO_DEEP, around)
            return
        script = parse_shell(text)
        state = replace(state, variables=collect_variables(script.root, state))
        self._walk(script.root, state, around)
        if script.unclear:
            self._doubt(script.unclear, around)
            self._walk_pieces(text, state, around.deeper(certain=False))

    def _doubt(self, why: str, around: _Around) -> None:
        self.unclear = self.unclear or (why if around.certain and around.doubtful else "")

    def _walk_pieces(self, text: str, state: ShellState, around: _Around) -> None:
        """What may be a command in a text that could not be read whole: every piece between operators."""
        listed = _BRACES.sub(lambda match: match[1].replace(",", " "), text.replace("\\\n", ""))
        for piece in islice(_BREAKS.split(listed), MAX_PIECES):
            if piece.strip() and piece != text and self._texts < MAX_TEXTS:
                self._texts += 1
                self._walk(parse_shell(piece).root, state, around)

    def _walk(self, node: ShellNode, state: ShellState, around: _Around) -> _Outcome:
        if isinstance(node, ShellCommand):
            return self._command(node, state, around)
        if node.documents:
            around = replace(around, documents=around.documents + node.documents)
        if node.kind == "chain":
            return self._chain(node, state, around)
        if node.kind == "pipeline":
            start = len(self.found)
            for part in node.parts:
                fed = around.fed + tuple(self.found[start : start + MAX_PIECES])
                self._walk(part, state, replace(around, fed=fed))
            return _Outcome(state, state)
        after = state
        for part in node.parts:
            outcome = self._walk(part, after, around)
            after = outcome.success if self._stops_at_failure else outcome.either()
        after = state if node.kind == "subshell" else after
        after = _Outcome(after, state).either() if node.kind == "either" else after
        return _Outcome(after, after)

    def _chain(self, group: ShellGroup, state: ShellState, around: _Around) -> _Outcome:
        outcome = self._walk(group.parts[0], state, around)
        for operator, part in zip(group.operators, group.parts[1:], strict=False):
            if operator == "&&":
                after = self._walk(part, outcome.success, around)
                failed = after.failure if outcome.failure is None else outcome.failure
                both = None if failed is None else _Outcome(failed, after.failure).either()
                outcome = _Outcome(after.success, both)
                continue
            before = outcome.failure or outcome.success
            after = self._walk(part, before, around)
            if _always_ends(part):
                outcome = _Outcome(outcome.success, None)
            else:
                outcome = _Outcome(_Outcome(outcome.success, after.success).either(), after.failure)
        return outcome

    def _command(self, command: ShellCommand, state: ShellState, around: _Around) -> _Outcome:
        start = len(self.found)
        for group in command.substitutions:
            self._walk(group, state, replace(around.deeper(), fed=(), documents=()))
        substituted = tuple(self.found[start : start + MAX_PIECES])
        self._words += 1 + len(command.words)
        if self._words > MAX_WORDS:
            self._doubt(TOO_MANY_WORDS, around)
            return _Outcome(state, state)
        for assignment in command.assignments:
            if _RUN_BY_VARIABLE.fullmatch(assignment.name):
                self.walk_text(
                    word_text(assignment.value), state, replace(around.deeper(certain=False), doubtful=False)
                )
        outcome = _Outcome(state, state)
        for fields in split_fields(command.words, state):
            made = Invocation(
                fields,
                state,
                command.redirects,
                command.documents + around.documents,
                around.fed,
                substituted,
                around.launchers,
                around.remote,
                around.certain,
            )
            self._invoke(made, around)
            outcome = self._after(made, outcome)
        return outcome

    def _after(self, made: Invocation, outcome: _Outcome) -> _Outcome:
        name, state = made.name, outcome.success
        if name in {"cd", "pushd", "popd"}:
            return _Outcome(replace(state, cwds=change_folder(made.words, made.state)), made.state)
        if name == "set" and any(re.match(r"-[a-z]*e", word_text(word)) for word in made.args):
            self._stops_at_failure = True
        if (links := make_links(made.words, made.state)) is not made.state.links:
            return _Outcome(linked := replace(state, links=links), linked)
        return outcome

    def _invoke(self, made: Invocation, around: _Around) -> None:
        """Take note of a command, and go on with those that it would run."""
        first, *others = _names_from_disk(made)
        for other in others:
            # The shell runs the first file that the pattern fits; another machine may have another first.
            self.found.append(replace(made, words=(other, *made.args), certain=False))
        if made.words:
            made = replace(made, words=(first, *made.args), is_pattern=first is not made.words[0])
        self.found.append(made)
        if around.depth > MAX_DEPTH:
            self._doubt(TOO_DEEP, around)
        if around.depth > MAX_DEPTH or not made.words:
            return
        if made.name == "alias":
            self._aliases |= dict(word_text(word).partition("=")[::2] for word in made.args)
        elif alias := self._aliases.pop(made.name, ""):  # taken out: an alias in itself is not looked for again
            self.walk_text(f"{alias} {words_text(made.args)}", made.state, around.deeper())
        name, deeper = made.name, replace(around, fed=made.fed, documents=made.documents).deeper()
        if is_fed_by_decoder(made):
            self._doubt("a text for a shell that only the run shows", around)
        for text in find_shell_texts(name, made):
            self.walk_text(text, made.state, replace(deeper, fed=(), documents=()))
        self._launched(made, deeper)
        for text, certain in find_embedded_commands(name, made):
            inner = replace(deeper.deeper(certain=certain), fed=(), documents=(), doubtful=False)
            self.walk_text(text, made.state, inner)

    def _launched(self, made: Invocation, around: _Around) -> None:
        """The commands that a launcher runs."""
        around = replace(around, launchers=(*made.launchers, Launch(made.name, made.words)))
        for start, end in find_option_commands(made.name, [word_text(word) for word in made.words]):
            self._invoke(replace(made, words=made.words[start:end], redirects=(), launchers=around.launchers), around)
        texts = [_plain(word, made.state) for word in made.words]
        found = find_launcher([made.name, *texts[1:]])
        if found is None or made.name in {"nix", "mise", "rtx"}:
            self._perhaps_launched(made, texts, around)
        if found is None:
            return
        launcher, start = found
        remote = made.remote or launcher.remote
        around = replace(around, remote=remote)
        state = find_mounts(made.words, texts, made.state)
        for at in find_launched_texts(launcher, texts, start):
            self.walk_text(word_text(made.words[at]), state, around)
        for at, certain in find_launched(launcher, texts, start):
            words = made.words[at:]
            if launcher.joined and (len(words) == 1 or made.name == "ssh"):
                self.walk_text(words_text(words), state, replace(around, certain=around.certain and certain))
                continue
            for fields in split_fields(words, state):
                inner = replace(
                    made, words=fields, state=state, redirects=(), launchers=around.launchers, remote=remote
                )
                self._invoke(
                    replace(inner, certain=made.certain and certain),
                    replace(around, certain=around.certain and certain),
                )

    def _perhaps_launched(self, made: Invocation, texts: Sequence[str], around: _Around) -> None:
        """`rm -r` among the words of a function or a program that no table knows: it may run it."""
        if made.name not in DATA_PROGRAMS and (at := find_handed_removal(texts)):
            inner = replace(made, words=made.words[at:], redirects=(), launchers=around.launchers, certain=False)
            self._invoke(inner, replace(around, certain=False))


def _always_ends(node: ShellNode) -> bool:
    """Whether behind a node nothing goes on: `exit`, or a group that ends so."""
    if isinstance(node, ShellCommand):
        return bool(node.words) and word_text(node.words[0]) in _EXITS
    return node.kind == "sequence" and bool(node.parts) and _always_ends(node.parts[-1])


def _names_from_disk(made: Invocation) -> Sequence[ShellWord]:
    """The names that a command may have: those of the files that a pattern fits, `/bin/r?` may be `/bin/rm`."""
    if not made.words:
        return ((),)
    value = expand_word(made.words[0], made.state)[0]
    if value.has_unknown or not has_pattern(value.text) or "\0" in value.text:
        return made.words[:1]
    place = resolve_parts(value.text, made.state.cwds[0], made.state)
    found = glob.iglob(join_parts(place)) if place else ()  # noqa: PTH207 - a shell's order and dotfiles
    matches = sorted(islice(found, MAX_PIECES))[:MAX_FITTING_FILES]
    return tuple(map(literal_word, matches)) or made.words[:1]


def _plain(word: ShellWord, state: ShellState) -> str:
    """The one text that a word is, "" for one that only the run shows."""
    values = expand_word(word, state)
    return "" if values[0].has_unknown else unescape_pattern(values[0].text)
