"""Random turns, edits by hand, undos, redos and rewinds: what was recorded comes back, what is the person's stays."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kimi_agent.errors import UserError
from kimi_agent.log.events import Rewound, Stamped
from kimi_agent.rewind.rewind_plan import ConflictChoice, RewindPlan, RewindScope
from kimi_agent.rewind.tree_changes import TreeChange, read_tree_changes
from kimi_agent.workspace.paths import is_beneath
from tests.rewind.rewindable_session import Acting, begin, resumed, stands

PATHS = ["a", "b", "d", "d/x", "d/y", "d/e/z", "p", "p/q", "p/q/r"]
T = TypeVar("T")
Op = tuple[str, str, str]
Step = tuple[object, ...]

OPS: st.SearchStrategy[Op] = st.tuples(
    st.sampled_from(
        ["write", "write", "write", "append", "delete", "rename", "copy", "chmod", "link", "mkdir", "rmtree"]
    ),
    st.sampled_from(PATHS),
    st.sampled_from(PATHS),
)
WHATS = st.sampled_from(["chat", "code", "both"])
YOURS = st.sampled_from(["refuse", "keep", "overwrite"])
RULES = st.tuples(st.sampled_from(["ignore", "unignore", "track", "untrack"]), st.sampled_from(PATHS), st.just(""))
CALL_OPS = st.one_of(OPS, OPS, OPS, RULES)
# What a person does while a call runs: told apart where the call is an edit, or only waits.
EDIT = st.tuples(st.just("edit"), st.sampled_from(PATHS), st.lists(st.one_of(OPS, RULES), max_size=2))
WAIT = st.tuples(st.just("wait"), st.just(""), st.lists(st.one_of(OPS, RULES), max_size=2))
CALLS = st.one_of(st.lists(CALL_OPS, max_size=3), st.lists(CALL_OPS, max_size=3), EDIT, WAIT)
TURN = st.tuples(st.just("turn"), st.lists(CALLS, max_size=3))
BACK = st.one_of(
    st.tuples(st.just("undo"), YOURS),
    st.tuples(st.just("redo"), YOURS),
    st.tuples(st.just("rewind"), YOURS, st.integers(0, 5), WHATS),
    st.tuples(
        st.just("rewind"), YOURS, st.integers(0, 5), st.just("code"), st.lists(st.sampled_from(PATHS), max_size=2)
    ),
)
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(TURN, TURN, st.tuples(st.just("by hand"), st.one_of(OPS, OPS, RULES)), BACK, BACK, st.just(("resume",))),
    max_size=14,
)


class World:
    """Carries steps out and holds each restore to what it promises."""

    def __init__(self, folder: Path, *, git: bool) -> None:
        self.play = begin(folder, git=git)
        self.count = 0
        self.own: set[str] = set()
        """Texts by the person that stand in some file ever since."""
        self.files: dict[str, str] = {}
        """The files that the person wrote last, with what is in them."""
        self.rules = False
        """Whether rules or the index were touched, or the person wrote during a call."""
        if git:
            subprocess.run(["git", "init", "-q"], cwd=self.play.root, check=True)

    def go(self, steps: list[Step]) -> None:
        for step in steps:
            match step:
                case ("turn", list() as calls):
                    self.play.turn(f"turn {self.count}", *(self.call(ops) for ops in calls))
                case ("by hand", tuple() as op):
                    self.do(op, self.play.root, "by hand")
                case ("resume",):
                    self.play = resumed(self.play)
                case ("undo", yours):
                    self.back(self.play.rewinder.plan_undo, yours)
                case ("redo", yours):
                    self.back(self.play.rewinder.plan_redo, yours)
                case ("rewind", yours, int() as number, what, *paths):
                    self.rewind(number, what, yours, paths[0] if paths else [])
                case _:
                    raise AssertionError(step)
            self.own &= texts(self.play.root)

    def call(self, ops: list[Op] | tuple[str, str, list[Op]]) -> Callable[[Path], object]:
        def do(root: Path) -> None:
            if isinstance(ops, list):
                for op in ops:
                    self.do(op, root, "call")
                return
            what, path, by_hand = ops
            self.rules = self.rules or bool(by_hand)
            if what == "edit" and not os.path.isdir(root / path) and os.path.realpath(root / path) == str(root / path):
                self.do(("write", path, ""), root, "call")
            for op in by_hand:
                # Within the moment of an edit nobody can tell who wrote the file that it names.
                if what != "edit" or not any(each and meet(each, path, root) for each in op[1:]):
                    self.do(op, root, "by hand")

        if isinstance(ops, list):
            return do
        return Acting(do, paths=(ops[1],)) if ops[0] == "edit" else Acting(do, command="sleep 1")

    def do(self, op: Op, root: Path, who: str) -> None:
        """What a shell would do; a path that is in the way goes."""
        self.count += 1
        text = f"{who} {self.count}\n"
        if who == "by hand" and op[0] in ("write", "append"):
            text = f"<{text}>"
        if op[0] in ("ignore", "unignore", "track", "untrack"):
            self.rules = True
            self.rule(op, root)
            return
        with contextlib.suppress(OSError, shutil.Error):
            apply(op, root, text, self.count)
        self.files = {path: held for path, held in self.files.items() if read(root / path) == held}
        if who == "by hand" and text in read(root / op[1]):
            self.files[op[1]] = read(root / op[1])
        elif who == "call":
            self.files.pop(op[1], None)
        if who == "by hand" and (root / op[1]).is_file() and text in (root / op[1]).read_text():
            self.own.add((root / op[1]).read_text())

    def rule(self, op: Op, root: Path) -> None:
        """Change a rule or the index."""
        what, path, _ = op
        if what in ("track", "untrack"):
            self.play.track(path, tracked=what == "track")
            return
        file = root / ".gitignore"
        lines = [line for line in file.read_text().split() if line != f"/{path}"] if file.is_file() else []
        file.write_text("".join(f"{line}\n" for line in [*lines, *([f"/{path}"] if what == "ignore" else [])]))

    def rewind(self, number: int, what: object, yours: object, paths: object) -> None:
        turns = self.play.rewinder.turns()
        if turns:
            to = turns[number % len(turns)].seq
            wanted: RewindScope = "chat" if what == "chat" else "code" if what == "code" else "both"
            names = [str(path) for path in paths] if isinstance(paths, list) else []
            self.back(lambda: self.play.rewinder.plan(to, wanted, paths=names), yours)

    def back(self, planned: Callable[[], Coroutine[Any, Any, RewindPlan]], yours: object) -> None:
        how: ConflictChoice = "keep" if yours == "keep" else "overwrite" if yours == "overwrite" else "refuse"
        rewinder, before = self.play.rewinder, stands(self.play.root)
        messages = self.play.session.conversation.messages()
        own = self.own & texts(self.play.root)
        theirs = {path: held for path, held in self.files.items() if read(self.play.root / path) == held}
        try:
            plan = run(planned())
        except UserError:
            assert stands(self.play.root) == before
            return
        log = list(self.play.session.events())
        now = self.play.take().tree
        try:
            done = run(rewinder.carry_out(plan, yours=how))
        except UserError:
            # Refused, or something that was not asked for is in the way of a single file: nothing is different.
            assert plan.paths or (plan.yours and how == "refuse")
            assert stands(self.play.root) == before
            assert [each for each in self.play.session.events() if isinstance(each.event, Rewound)] == rewinds(log)
            return
        after, kept = stands(self.play.root), set(done.kept)
        for each in rewinds(list(self.play.session.events()))[len(rewinds(log)) :]:
            if isinstance(each.event, Rewound) and each.event.was:
                self.play.trees |= {each.event.tree: after, each.event.was: self.play.trees.get(each.event.was, before)}
        assert kept >= {*(plan.yours if how == "keep" else ()), *(plan.unsure if how != "overwrite" else ())}
        assert kept == set() or how == "keep" or plan.unsure
        touched = {path for path in {*before, *after} if before.get(path) != after.get(path)}
        assert touched == {file.path for file in plan.diff} - kept
        assert done.restored == len(touched)
        self.recorded(plan, log, now, after, kept)
        lost = own - texts(self.play.root)
        assert not lost or (plan.yours and how == "overwrite"), lost
        if how != "overwrite":
            assert {path: read(self.play.root / path) for path in theirs} == theirs
        if plan.what != "code" or touched:
            self.there_and_back(before, messages)

    def recorded(self, plan: RewindPlan, log: list[Stamped], now: str, after: dict[str, str], kept: set[str]) -> None:
        """Each path that went has the recorded state; and all have, where nobody else changed anything."""
        done = [span for span in read_tree_changes(log) if span.seq >= plan.to]
        if plan.what == "chat" or not done:
            return
        target = self.play.trees[done[0].before]
        for file in plan.diff:
            if file.path in after and self.play.checkpoints.entry_at(done[0].before, file.path) is None:
                continue  # ignored then: it goes back to what it was before the first call that named it
            assert file.path in kept or after.get(file.path) == target.get(file.path)
        if not plan.paths and closed(done, now) and not self.rules:
            assert plan.yours == ()
            assert self.play.checkpoints.take().tree == done[0].before

    def there_and_back(self, before: dict[str, str], messages: object) -> None:
        """Redo brings everything back byte for byte, what was overwritten too; undone again for the next step."""
        after = stands(self.play.root)
        if self.play.session.conversation.messages() is None or not self.redoable():
            return
        plan = run(self.play.rewinder.plan_redo())
        assert plan.yours == ()
        run(self.play.rewinder.carry_out(plan))
        assert stands(self.play.root) == before
        assert self.play.session.conversation.messages() == messages
        assert stands(self.play.root) == before != after or before == after

    def redoable(self) -> bool:
        """Whether the last thing that happened was going back, not forward; every second time it is tried."""
        last = rewinds(list(self.play.session.events()))
        event = last[-1].event if last else None
        return isinstance(event, Rewound) and not event.undoes and self.count % 2 == 0


def closed(done: list[TreeChange], now: str) -> bool:
    """Whether nobody changed anything between the spans and since."""
    trees = [*(tree for span in done for tree in (span.before, span.after)), now]
    return all(old == new for old, new in zip(trees[1::2], trees[2::2], strict=True))


def rewinds(log: list[Stamped]) -> list[Stamped]:
    return [each for each in log if isinstance(each.event, Rewound)]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def meet(one: str, other: str, root: Path) -> bool:
    """Whether the one is the other, or a folder above it, by a link too."""
    spellings = (one, os.path.relpath(os.path.realpath(root / one), root))
    return any(is_beneath(each, other) or is_beneath(other, each) for each in spellings)


def read(path: Path) -> str:
    """The text of an ordinary file that no link leads to, "" where there is none."""
    ordinary = path.is_file() and os.path.realpath(path) == str(path)
    return path.read_text() if ordinary else ""


def texts(root: Path) -> set[str]:
    plain = (path for path in root.rglob("*") if path.is_file() and not path.is_symlink())
    return {path.read_text("utf-8", "replace") for path in plain if ".git" not in path.relative_to(root).parts}


def apply(op: Op, root: Path, text: str, number: int) -> None:
    """One step of a shell in `root`; raises OSError where a shell would fail."""
    what, one, other = op
    path, target = root / one, root / other
    match what:
        case "write" | "link":
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            for above in reversed(path.relative_to(root).parents[:-1]):
                if (root / above).is_symlink() or (root / above).is_file():
                    (root / above).unlink()
            path.parent.mkdir(parents=True, exist_ok=True)
            if what == "link":
                path.unlink(missing_ok=True)
                path.symlink_to(other)
            else:
                if path.is_symlink():
                    path.unlink()
                path.write_text(text)
        case "append":
            with path.open("a") as file:
                file.write(text)
        case "delete":
            path.unlink()
        case "rename":
            path.rename(target)
        case "copy":
            shutil.copy(path, target, follow_symlinks=False)
        case "chmod":
            if not path.is_symlink() and path.is_file():
                path.chmod((0o600, 0o644, 0o755)[number % 3])
        case "mkdir":
            path.mkdir()
        case "rmtree":
            shutil.rmtree(path)


def play_through(steps: list[Step], *, git: bool) -> None:
    folder = Path(tempfile.mkdtemp(prefix="re wind"))
    world = World(folder, git=git)
    try:
        world.go(steps)
        assert list((folder / "state/journal").glob("*")) == []
        assert not [name for name in os.listdir(world.play.root) if name.startswith(".kimi-agent-")]
    finally:
        world.play.close()
        shutil.rmtree(folder)


HEALTH = [HealthCheck.too_slow, HealthCheck.data_too_large]


# Shrinking takes minutes: it is for the long run below.
@settings(max_examples=12, deadline=None, database=None, suppress_health_check=HEALTH, phases=[Phase.generate])
@given(STEPS)
def test_what_was_recorded_comes_back_and_what_is_the_persons_stays(steps: list[Step]) -> None:
    play_through(steps, git=False)


@pytest.mark.parametrize("git", [False, True])
def test_what_undo_restores_though_a_rule_ignores_it_goes_again_by_redo(*, git: bool) -> None:
    unseen = [("edit", "a", []), ("edit", "a", [("ignore", "b", ""), ("ignore", "p", "")]), ("edit", "p/q", [])]
    play_through([("by hand", ("write", "p", "a")), ("turn", unseen), ("undo", "overwrite")], git=git)


def test_an_ignored_file_goes_back_to_what_it_was_before_the_edit_that_named_it() -> None:
    calls: list[object] = [[("write", "a", "a")], ("edit", "b", [])]
    hidden = ("turn", [[("ignore", "b", "")]])
    play_through([hidden, ("by hand", ("write", "b", "a")), ("turn", calls), ("undo", "refuse")], git=False)


def test_what_a_call_moved_stays_where_the_person_wrote_its_old_place_anew() -> None:
    by_hand = ("wait", "", [("write", "a", "a")])
    play_through([("turn", [by_hand]), ("turn", [[("rename", "a", "b")], by_hand]), ("undo", "keep")], git=False)


def test_the_same_on_real_snapshots() -> None:
    link = ("link", "b", "a")
    calls = [[("write", "a", "a")], [("write", "p/q", "a"), link], [("rename", "p", "d"), ("chmod", "a", "a")]]
    play_through([("turn", calls), ("by hand", ("write", "d/x", "a")), ("undo", "keep"), ("redo", "keep")], git=True)


@pytest.mark.long
@pytest.mark.timeout(3000)
@settings(max_examples=1000, deadline=None, database=None, suppress_health_check=HEALTH)
@given(STEPS)
def test_the_same_many_times(steps: list[Step]) -> None:
    play_through(steps, git=False)


@pytest.mark.long
@pytest.mark.timeout(3000)
@settings(max_examples=40, deadline=None, database=None, suppress_health_check=HEALTH)
@given(STEPS)
def test_the_same_many_times_on_real_snapshots(steps: list[Step]) -> None:
    play_through(steps, git=True)
