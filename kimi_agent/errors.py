"""Error types of the program, grouped by who must hear them: the model, the person or the agent loop.

    Exception
    ├── ToolError            the model hears it, as a tool result that says what to do next
    │   └── NeedsConsent     the guard hears it first: a person may allow the path, then the call runs again
    ├── UserError            the person hears it: one sentence and a mend, then an exit code
    └── ModelError           the loop hears it
        ├── Unavailable      trying again later may work
        ├── Refused          the server will not take this request
        ├── TooLong          the conversation no longer fits the model's window
        └── Stopped          the harness itself ends the turn: a budget, a limit, a loop

Anything else is a bug: it rises. At the tool border it becomes a failed result, at the top of the program one
sentence; its traceback goes to the log folder.
"""

from typing import Literal

_FileCode = Literal["exists", "missing", "stale", "unread", "encoding", "binary", "not_regular", "io"]
_AccessCode = Literal["outside", "git_internal", "sensitive", "refused", "denied"]
_TextCode = Literal["not_found", "already_applied", "ambiguous", "anchor_not_found"]
_PatchCode = Literal["parse", "no_patch", "truncated", "noop"]
_CallCode = Literal["unknown_tool", "bad_arguments", "timeout", "interrupted", "failed"]
ErrorCode = _FileCode | _AccessCode | _TextCode | _PatchCode | _CallCode
"""The closed set of codes that a tool result may open with; screens and the repeat guard count by them."""

AccountLimit = Literal["", "rate", "period", "quota"]
"""Which limit of an account a request met."""


StopStatus = Literal["failed", "budget", "step_limit", "time_limit"]


class ToolError(Exception):
    """A call that could not do what was asked; `str(error)` is the text that the model reads.

    `text` says what happened; `next_step` says what to do now, in words that need no asking back.
    """

    def __init__(self, code: ErrorCode, text: str, next_step: str = "") -> None:
        super().__init__(text)
        self.code: ErrorCode = code
        self.text = text
        self.next_step = next_step

    def __str__(self) -> str:
        shown = f"Error [{self.code}]: {self.text}"
        return f"{shown}\nNext: {self.next_step}" if self.next_step else shown


class NeedsConsent(ToolError):
    """Reading `path` (absolute, resolved) is for a person to allow: it lies outside, or its name says secret."""

    def __init__(self, code: Literal["outside", "sensitive"], path: str, text: str, next_step: str = "") -> None:
        super().__init__(code, text, next_step)
        self.path = path


class UserError(Exception):
    """The person must mend something: `str(error)` is one sentence with the mend, `exit_code` a sysexits number."""

    def __init__(self, text: str, exit_code: int = 2) -> None:
        super().__init__(text)
        self.exit_code = exit_code


class ModelError(Exception):
    """Asking the model failed; `str(error)` is one sentence a person can read."""

    exit_code = 1


class Unavailable(ModelError):
    """The server asks for patience, or cannot be reached; trying again after `wait_s` seconds may work.

    `exit_code` is 75 where a quota or rate was the reason and 69 otherwise; `retry` is False where waiting cannot
    help (a used-up balance). `wait_s` is 0 where the server named no time. `limit` says which limit was met: "rate"
    passes within seconds or minutes, "period" (tokens per day, a plan's cycle) after hours or days, "quota" never by
    itself, "" is none.
    """

    exit_code = 69

    def __init__(
        self, why: str, wait_s: float = 0.0, *, retry: bool = True, exit_code: int = 69, limit: AccountLimit = ""
    ) -> None:
        super().__init__(why)
        self.wait_s = wait_s
        self.retry = retry
        self.exit_code = exit_code
        self.limit: AccountLimit = limit


class Refused(ModelError):
    """The server will not take this request: `status` is its HTTP status, `exit_code` 78 for keys and names."""

    def __init__(self, why: str, status: int, *, exit_code: int = 1) -> None:
        super().__init__(why)
        self.status = status
        self.exit_code = exit_code


class TooLong(ModelError):
    """The conversation no longer fits the window of the model."""


class Stopped(ModelError):
    """The turn ends here, by the harness's own rule; `str(error)` says which one.

    With `wrap_up`, a note for the model, it is asked for one last answer without calls: what was done, what is left.
    """

    def __init__(self, why: str, status: StopStatus, exit_code: int, *, wrap_up: str = "") -> None:
        super().__init__(why)
        self.status: StopStatus = status
        self.exit_code = exit_code
        self.wrap_up = wrap_up
