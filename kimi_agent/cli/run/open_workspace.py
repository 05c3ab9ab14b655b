"""Workspace of a run: reads its settings, in the folder that was named or in a git worktree of its own (-w)."""

import os

from kimi_agent.app.bootstrap import Setup, load_setup
from kimi_agent.cli.report_error import print_to_stderr
from kimi_agent.cli.run.options import RunOptions


def open_workspace(options: RunOptions, *, trust: bool) -> Setup:
    """The settings for a run; with `options.worktree` those of that worktree, made if need be. Raises UserError."""

    def at(directory: str) -> Setup:
        return load_setup(options.settings(), sets=options.sets, directory=directory, environ=os.environ, trust=trust)

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
