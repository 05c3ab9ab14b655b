"""Session of a run: opens a new one, the newest, a named one, or a copy of it, as the flags ask."""

from kimi_agent.app.open_agent import SessionOpener
from kimi_agent.cli.run.options import RunOptions
from kimi_agent.log.events import Opened
from kimi_agent.log.sessions import Sessions
from kimi_agent.log.store.session import Session


def session_opener(options: RunOptions) -> SessionOpener:
    """The opener that `options` ask for. The picker ("") needs a terminal and is resolved before."""

    def open_session(sessions: Sessions, opened: Opened) -> Session:
        if options.resume is None:
            return sessions.create(model=opened.model, version=opened.version, system=opened.system)
        return sessions.fork(options.resume) if options.fork else sessions.resume(options.resume)

    return open_session
