"""Setup of a run: its settings, its workspace (with -w a git worktree of its own), the session it opens."""

import os
from typing import TYPE_CHECKING

from kimi_agent.app.bootstrap import Setup, load_setup
from kimi_agent.cli.report_error import print_to_stderr
from kimi_agent.cli.run.options import RunOptions

if TYPE_CHECKING:  # the first prompt does not wait for these
    from kimi_agent.app.open_agent import SessionOpener
    from kimi_agent.log.events import Opened
    from kimi_agent.log.sessions import Sessions
    from kimi_agent.log.store.session import Session


def open_workspace(options: RunOptions, *, trust: bool, shown: str = "") -> Setup:
    """The settings for a run; with `options.worktree` those of that worktree, made if need be. Raises UserError.

    `trust` and `shown` are those of `load_setup`.
    """

    def at(directory: str) -> Setup:
        return load_setup(
            options.settings, sets=options.sets, directory=directory, environ=os.environ, trust=trust, shown=shown
        )

    setup = at(options.directory)
    if options.worktree is None:
        return setup
    import random
    import time

    from kimi_agent.workspace.worktrees.worktrees import Worktrees

    worktrees = Worktrees(setup.workspace, setup.user_folders.state / "worktrees", environ=os.environ)
    made = worktrees.make(options.worktree, now=time.time, rng=random.Random())
    for note in made.notes:
        print_to_stderr(note)
    return at(str(made.workspace))


def session_opener(options: RunOptions) -> "SessionOpener":
    """What opens the session: new, the newest, a named one, or a copy. The picker ("") is resolved before."""

    def open_session(sessions: "Sessions", opened: "Opened") -> "Session":
        if options.resume is None:
            return sessions.create(model=opened.model, version=opened.version, system=opened.system)
        return sessions.fork(options.resume) if options.fork else sessions.resume(options.resume)

    return open_session
