"""What "green" means: one answer for --require-green, --commit and the footer."""

import os
import time
from pathlib import Path

import pytest

from kimi_agent.app.publishing import AutoCommit
from kimi_agent.faces.evidence_text import evidence_text
from kimi_agent.faces.headless.outcome import EXIT_NOT_GREEN, RunOutcome
from kimi_agent.log.events import Event, Judged, Notice, Opened, Published, Stamped, TurnEnded
from kimi_agent.log.store.session import Session
from kimi_agent.log.views import Evidence, TestReport
from kimi_agent.workspace.checkpoint import Checkpoints
from tests.golden_texts import Golden

PASSED = TestReport("passed", "pytest", "pyproject.toml", "pytest", 0, 1.0)
FAILED = TestReport("failed", "pytest", "pyproject.toml", "pytest", 1, 1.0)
BROKEN = TestReport("broken", "pytest", "pyproject.toml", "pytest", 2, 1.0)
RED = ("tests/test_a.py::test_red",)
CHANGED = ("src/a.py",)


@pytest.mark.parametrize(
    ("evidence", "green"),
    [
        (Evidence("verified", files=CHANGED, last=PASSED), True),
        (Evidence("not_verified", files=CHANGED, last=FAILED), False),
        (Evidence("not_verified", files=CHANGED, last=PASSED, still_red=RED), False),
        (Evidence("not_verified", files=CHANGED, last=PASSED, changed_since=CHANGED), False),
        (Evidence("not_verified", files=CHANGED, last=PASSED, flaky=RED), False),
        (Evidence("not_verified", trouble="whether files changed is not known"), False),
        (Evidence("no_tests", files=CHANGED), False),
        (Evidence("none_needed"), True),
        (Evidence("none_needed", last=PASSED), True),
        (Evidence("none_needed", last=FAILED), False),
        (Evidence("none_needed", last=BROKEN), False),
        (Evidence("none_needed", last=PASSED, still_red=RED), False),
        (Evidence("none_needed", last=PASSED, flaky=RED), False),
        (Evidence("none_needed", last=PASSED, changed_since=CHANGED), True),
    ],
)
def test_green_is_proven_or_nothing_to_prove_and_nothing_red(evidence: Evidence, green: bool) -> None:
    outcome = RunOutcome(require_green=True)
    for event in (TurnEnded("done", 1), Judged(evidence)):
        outcome(Stamped("main", 1, 0.0, event))
    assert (evidence.is_green, outcome.exit_code) == (green, 0 if green else EXIT_NOT_GREEN)
    assert green or evidence_text(evidence)


def test_a_run_that_was_not_judged_is_green_if_it_changed_nothing() -> None:
    assert RunOutcome(require_green=True).green


@pytest.mark.parametrize(
    ("evidence", "tried"),
    [
        (Evidence("verified", files=CHANGED, last=PASSED), True),
        (Evidence("none_needed", last=PASSED), True),  # it commits what earlier turns left
        (Evidence("none_needed", last=PASSED, changed_since=CHANGED), False),
        (Evidence("none_needed", last=PASSED, still_red=RED), False),
        (Evidence("not_verified", files=CHANGED, last=PASSED, still_red=RED), False),
    ],
)
async def test_a_commit_needs_green_by_a_run_on_the_files_as_they_are(
    evidence: Evidence, tried: bool, workspace: Path, tmp_path: Path, golden: Golden
) -> None:
    heard: list[Event] = []
    session = Session.create(tmp_path / "S", Opened("S", str(workspace), "m", "0"), now=time.time)
    session.listen(lambda stamped: heard.append(stamped.event))
    checkpoints = Checkpoints(workspace, tmp_path / "kept", environ=os.environ)
    assert await AutoCommit(workspace, session, checkpoints, "current", os.environ).commit(evidence) is None
    checkpoints.close()
    told = [event.text for event in heard if isinstance(event, Notice)]
    published = [event.error for event in heard if isinstance(event, Published)]
    assert (published, len(heard)) == (told, 2 * len(told))
    refused = ["not verified" in text for text in told]
    assert refused == ([False] if tried else [True] if evidence.files else [])
    golden(*told, ROOT=str(workspace))  # who tries hears that this is no repository
