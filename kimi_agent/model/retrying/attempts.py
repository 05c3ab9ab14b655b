"""State of one answer across retries: the text kept so far, the next request, whether it is empty."""

import unicodedata
from dataclasses import replace

from kimi_agent.errors import ModelError, Refused, Unavailable
from kimi_agent.log.events import Retrying
from kimi_agent.model.message_assembly import Assembly
from kimi_agent.model.protocol import Delta, Finish, Request

EMPTY_ANSWER_NUDGE = "Your last answer was empty. Answer the user in words, or call a tool."
NUDGE_WITHOUT_TOOLS = "Your last answer was empty. Answer in words."

_REFUSED_STATUSES = (400, 422)


class EmptyAnswer(Unavailable):
    """The answer had no word and no call."""


class AnswerAttempts:
    """One answer across its attempts: what the reader has of it by now, and the request to send next."""

    def __init__(self, request: Request, *, goes_on: bool) -> None:
        self.attempt = 1
        self._request = request
        self._goes_on = goes_on
        self._held = Assembly()
        self._kept = False
        self._silent = True

    def next_request(self, empties: int) -> Request:
        """The request as it was; with a nudge after two empty answers, with the text so far if that is kept."""
        self._silent = True
        request = self._request
        if empties > 1:
            able = request.tools and not request.tools_off
            request = replace(request, notes=(*request.notes, EMPTY_ANSWER_NUDGE if able else NUDGE_WITHOUT_TOOLS))
        return replace(request, partial=self._held.assistant()) if self._kept else request

    def add(self, delta: Delta) -> None:
        """Join one delta that the reader is about to get. Raises instead where an answer ends without word and call."""
        self._silent = False
        if isinstance(delta, Finish) and not self._has_content():
            raise _empty_answer_error(delta.reason)
        self._held.add(delta)

    def break_off(self, why: str, wait_s: float) -> Retrying:
        """The `Retrying` for an attempt that broke off."""
        self.attempt += 1
        self._kept = self._goes_on and not self._held.assistant().calls and _has_visible_text(self._held.text)
        retrying = Retrying(why, wait_s, self.attempt, self._kept)
        self._held.add(retrying)
        return retrying

    def continuation_refused(self, error: ModelError) -> bool:
        """Whether the server refused the partial answer itself, at once; from then on no attempt continues one."""
        if not self._kept or not self._silent or (isinstance(error, Refused) and error.status not in _REFUSED_STATUSES):
            return False
        self._goes_on = False
        return True

    def _has_content(self) -> bool:
        held = self._held
        return self._request.partial is not None or _has_visible_text(held.text) or bool(held.assistant().calls)


def _has_visible_text(text: str) -> bool:
    """Whether a person could see anything of it: blanks, control and zero-width characters are nothing."""
    return any(not each.isspace() and unicodedata.category(each) not in ("Cc", "Cf") for each in text)


def _empty_answer_error(reason: str) -> ModelError:
    if reason == "content_filter":
        return Refused("The provider's content filter stopped the answer before its first word.", 200)
    if reason == "length":
        text = "The answer reached the output limit before its first word: all of it was reasoning."
        return Refused(f"{text} Raise max_output, or ask for a smaller step.", 200)
    return EmptyAnswer("The model gave an empty answer.")
