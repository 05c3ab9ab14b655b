"""Where a run works: the folder that was named, or a git worktree of its own."""

import os

from kimi_agent.app.bootstrap import Setup, prepare
from kimi_agent.cli.report_error import tell
from kimi_agent.cli.run.options import Options


def prepared(options: Options, *, trust: bool) -> Setup:
    """The settings for a run; with `options.worktree` those of that worktree, made if need be. Raises UserError."""

    def at(directory: str) -> Setup:
        return prepare(options.settings(), sets=options.sets, directory=directory, environ=os.environ, trust=trust)

    setup = at(options.directory)
    if options.worktree is None:
        return setup
    import random
    import time

    from kimi_agent.workspace.worktrees.worktrees import Worktrees

    worktrees = Worktrees(setup.workspace, setup.places.state / "worktrees", environ=os.environ)
    made = worktrees.make(options.worktree, now=time.time, rng=random.Random())
    for note in made.notes:
        tell(note)
    return at(str(made.workspace))
