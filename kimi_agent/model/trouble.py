"""What went wrong with a request, as an error of the house: by status, headers and body, or by what broke underneath.

Pure: nothing is sent or read here. Texts of a server are cut to one line, and never show the key.
"""

import email.utils
import math
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kimi_agent.errors import ModelError, Refused, TooLong, Unavailable

_TOO_LONG = re.compile(
    r"exceed\w*.{0,40}token limit|input token length too long|context.?length|maximum context|context window"
    r"|total message size .{0,40}exceeds limit|prompt is too long",
    re.IGNORECASE,
)
_QUOTA = re.compile(
    r"exceeded_current_quota|insufficient_quota|exceeded your current (token )?quota|insufficient balance"
    r"|check your (account balance|plan and billing)|recharge",
    re.IGNORECASE,
)
_FILTERED = re.compile(r"content_filter|considered high risk", re.IGNORECASE)
_TYPES: Mapping[str, int] = {
    "invalid_request_error": 400,
    "content_filter": 400,
    "invalid_authentication_error": 401,
    "incorrect_api_key_error": 401,
    "permission_denied_error": 403,
    "resource_not_found_error": 404,
    "engine_overloaded_error": 429,
    "rate_limit_reached_error": 429,
    "exceeded_current_quota_error": 429,
}
_PASSING = (408, 409, 425)
_LONGEST_WAIT_S = 30 * 86_400.0


class Doubtful(Unavailable):
    """It may pass, but more than `tries` attempts are not worth it."""

    def __init__(self, why: str, *, tries: int, exit_code: int = 69) -> None:
        super().__init__(why, exit_code=exit_code)
        self.tries = tries


@dataclass(frozen=True)
class Endpoint:
    """What the texts of errors name. `key` says where the key came from; `secret` is the key itself, never shown."""

    model: str
    base_url: str
    key: str = ""
    key_hint: str = ""
    secret: str = field(default="", repr=False)

    def shown(self, text: str, max_chars: int = 300) -> str:
        """A server's words on one line: no control characters, at most `max_chars`, the key blotted out."""
        if self.secret:
            text = text.replace(self.secret, f"…{self.secret[-4:]}" if len(self.secret) > 8 else "…")
        line = " ".join("".join(each if each.isprintable() or each.isspace() else "�" for each in text).split())
        return line if len(line) <= max_chars else line[: max_chars - 1] + "…"


def of_status(status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, now: float) -> ModelError:
    """The error that an HTTP status means. `headers` have lower-case names; `now` is Unix time in seconds."""
    base = endpoint.base_url
    if 300 <= status < 400:
        place = endpoint.shown(headers.get("location", "another address"), 120)
        return Refused(
            f"{base} redirects to {place}. It was not followed, so that the conversation stays where it was meant "
            "to go; set KIMI_BASE_URL (or base_url) to the right address.",
            status,
            exit_code=78,
        )
    message, kind = _message(body)
    wait_s = wait_hint(headers, message, now)
    return _of(status, f"{kind} {message}", endpoint.shown(message) or f"HTTP status {status}", endpoint, wait_s)


def of_error_object(error: object, endpoint: Endpoint, now: float) -> ModelError:
    """The error that an `error` object inside a 200 stands for; what names no status is taken for a server's fault."""
    message, kind = _words(error)
    status: object = None
    if isinstance(error, dict):
        status = next((error[key] for key in ("status", "code", "status_code") if _is_status(error.get(key))), None)
    found = int(status) if isinstance(status, int | str) else _TYPES.get(kind, 500)
    wait_s = wait_hint({}, message, now)
    return _of(found, f"{kind} {message}", endpoint.shown(message) or "no reason given", endpoint, wait_s)


def of_stray(content_type: str, body: bytes, endpoint: Endpoint, now: float) -> ModelError:
    """The error in a 200 that held no event at all: an error object, a web page, or nothing."""
    error = _decoded(body)
    if isinstance(error, dict) and (error.get("error") or error.get("detail") or error.get("message")):
        return of_error_object(error.get("error") or error, endpoint, now)
    if not body.strip():
        return Doubtful(f"{endpoint.base_url} sent an empty answer.", tries=3)
    if re.match(rb"\s*(data|event|id|retry)?:", body):
        return Unavailable("The answer broke off before its end.")
    got = endpoint.shown(content_type.partition(";")[0], 60) or "no content type"
    start = endpoint.shown(_page_title(body), 120)
    text = f"{endpoint.base_url} is not an OpenAI-compatible API: it sent {got} ({start})."
    return Doubtful(f"{text} Check KIMI_BASE_URL or base_url.", tries=3)


def of_connection(error: BaseException, endpoint: Endpoint) -> Unavailable:
    """One sentence for what broke below HTTP: refused, unknown host, TLS, timeout, or a connection that broke off."""
    causes = list(_causes(error))
    base = endpoint.base_url
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = endpoint.shown(str(getattr(cause, "verify_message", "") or cause), 120)
            text = (
                f"The TLS certificate of {base} cannot be trusted ({why}). If a proxy of your own signs it, "
                "name its certificate in SSL_CERT_FILE."
            )
            return Unavailable(text, retry=False, exit_code=78)
        if isinstance(cause, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(cause):
            return Unavailable(
                f"{base} does not speak TLS on that port; http:// may be meant.", retry=False, exit_code=78
            )
        if isinstance(cause, ssl.SSLError):
            return Unavailable(f"The TLS connection to {base} broke ({endpoint.shown(str(cause), 120)}).")
        if isinstance(cause, socket.gaierror):
            return Unavailable(f"The host of {base} was not found (DNS); check the network and the address.")
        if isinstance(cause, ConnectionRefusedError):
            return Unavailable(f"Nothing listens at {base} (connection refused).")
        if isinstance(cause, TimeoutError):
            return Unavailable(f"{base} did not answer the connection in time.")
    why = endpoint.shown(str(causes[-1]) or type(causes[-1]).__name__, 120)
    # anyio joins the errors of several addresses in one text, without their types.
    if "All connection attempts failed" in str(error):
        return Unavailable(f"{base} cannot be reached ({why}).")
    return Unavailable(f"The connection to {base} broke off ({why}).")


def is_refused(error: BaseException) -> bool:
    """Whether nothing listens there."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))


def wait_hint(headers: Mapping[str, str], message: str, now: float) -> float:
    """How many seconds the server asks to wait: from its headers, else its words, else 0. Nonsense counts as 0."""
    return min(_wait_hint(headers, message, now), _LONGEST_WAIT_S)


def _wait_hint(headers: Mapping[str, str], message: str, now: float) -> float:
    if (milliseconds := _number(headers.get("retry-after-ms", ""))) is not None:
        return milliseconds / 1000
    for name in ("retry-after", "x-retry-after"):
        value = headers.get(name, "").strip().lower()
        if (seconds := _seconds(value)) is not None:
            return seconds
        try:
            until = email.utils.parsedate_to_datetime(value).timestamp()
        except (ValueError, OverflowError, OSError):
            continue
        return max(0.0, until - now)
    words = re.search(r"(?:try again|retry) (?:after|in) ([\d.]+) ?(ms|s)", message, re.IGNORECASE)
    return (_seconds(words[1] + words[2].lower()) or 0.0) if words else 0.0


def _of(status: int, words: str, shown: str, endpoint: Endpoint, wait_s: float) -> ModelError:
    base, model = endpoint.base_url, endpoint.model
    if status == 402 or (status in (403, 429) and _QUOTA.search(words)):
        return Unavailable(f"The account's quota is used up ({status}): {shown}", wait_s, retry=False, exit_code=75)
    if status == 429:
        return Unavailable(f"{base} asks for patience (429): {shown}", wait_s, exit_code=75)
    if status >= 500 or status in _PASSING:
        return Unavailable(f"{base} is not available ({status}): {shown}", wait_s)
    if status == 413 or (status == 400 and _TOO_LONG.search(words)):
        return TooLong(f"The conversation no longer fits the model's window: {shown}")
    if status == 400 and _FILTERED.search(words):
        return Refused(f"The provider's content filter refused the request (400): {shown}", status)
    if status in (401, 403):
        who = f"the key from {endpoint.key}" if endpoint.key else "a request without a key (set KIMI_API_KEY)"
        verb = "does not accept" if status == 401 else "does not allow this to"
        return Refused(f"{base} {verb} {who} ({status}): {shown} {endpoint.key_hint}".rstrip(), status, exit_code=78)
    if status == 404:
        text = f"{base} has no model {model!r}, or is not the API's address (404): {shown}"
        return Refused(text, status, exit_code=78)
    return Refused(f"{base} refused the request ({status}): {shown}", status)


def _message(body: bytes) -> tuple[str, str]:
    """The words and the type in an error's body, whatever shape it has."""
    value = _decoded(body)
    if isinstance(value, dict):
        return _words(value.get("error") or value.get("detail") or value)
    return (_page_title(body), "") if value is None else _words(value)


def _words(error: object) -> tuple[str, str]:
    if not isinstance(error, dict):
        return str(error), ""
    kind = next((each for each in (error.get("type"), error.get("code")) if isinstance(each, str)), "")
    message = next((each for each in (error.get("message"), error.get("msg")) if isinstance(each, str)), "")
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):
        message = f"{message}: {metadata['raw']}"  # OpenRouter wraps what its upstream said
    return message or str(error), kind


def _decoded(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _page_title(body: bytes) -> str:
    text = body[:20_000].decode("utf-8", "replace")
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    return title[1] if title else re.sub(r"<[^>]*>", " ", text)


def _is_status(value: object) -> bool:
    return isinstance(value, int | str) and re.fullmatch(r"[45]\d\d", str(value)) is not None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop(0)
        if id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
        waiting += [cause for cause in (each.__cause__, each.__context__) if cause is not None]


def _seconds(value: str) -> float | None:
    if value.endswith("ms"):
        milliseconds = _number(value[:-2])
        return None if milliseconds is None else milliseconds / 1000
    return _number(value.removesuffix("s"))


def _number(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return max(0.0, number) if math.isfinite(number) else None
