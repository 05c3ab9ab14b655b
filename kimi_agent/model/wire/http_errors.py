"""HTTP errors as `ModelError`: chosen by status, headers and body, or by what broke below HTTP.

Pure: nothing is sent or read here. Texts of a server are cut to one line, and never show the key.
"""

import errno
import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kimi_agent.errors import ModelError, Refused, TooLong, Unavailable
from kimi_agent.model.wire.retry_after import parse_retry_after
from kimi_agent.printable import one_line

_TOO_LONG = re.compile(
    r"exceed\w*.{0,40}token limit|input token length too long|context.?(length|size|window|limit)|maximum context"
    r"|maximum (model|sequence) length|total message size .{0,40}exceeds limit|prompt (is )?too long"
    r"|reduce the length of the (messages|prompt|input)"
    # A cap on the output that does not fit beside the input: a smaller input, or a smaller cap, mends both.
    r"|max_(completion_|new_|output_)?tokens\b.{0,60}"
    r"(too (large|high|big)|exceed|greater than|less than|at most|at least 1\b|must be <=)",
    re.IGNORECASE | re.DOTALL,
)
_FILTERED = re.compile(r"content_filter|considered high risk", re.IGNORECASE)
_BAD_HISTORY = re.compile(
    r"tool_call_id.{0,80}not found|message.{0,80}must not be empty|text content is empty|reasoning_content is missing"
    r"|tool_calls?\b.{0,80}must be followed|must (be a response to|follow) .{0,40}tool_calls?",
    re.IGNORECASE | re.DOTALL,
)
_QUOTA_TYPES = ("exceeded_current_quota_error", "insufficient_quota")
_QUOTA = re.compile(
    r"exceeded your current (token )?quota|insufficient (balance|quota|credit)"
    r"|check your (account balance|plan and billing)|recharge",
    re.IGNORECASE,
)
_PERIOD = re.compile(
    r"\bTPD\b|tokens? per day|\b(daily|weekly|monthly)\b.{0,40}limit|usage limit|quota will (be )?(reset|refresh)",
    re.IGNORECASE | re.DOTALL,
)
_STATUS_BY_TYPE: Mapping[str, int] = {
    "invalid_request_error": 400,
    "content_filter": 400,
    "context_length_exceeded": 400,
    "exceed_context_size_error": 400,
    "invalid_authentication_error": 401,
    "incorrect_api_key_error": 401,
    "permission_denied_error": 403,
    "access_terminated_error": 403,
    "resource_not_found_error": 404,
    "engine_overloaded_error": 429,
    "rate_limit_reached_error": 429,
    "exceeded_current_quota_error": 429,
    "insufficient_quota": 429,
    "client_closed_request": 499,
}
_TRANSIENT_STATUSES = (408, 409, 425)
_UNREACHABLE = (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.EADDRNOTAVAIL)


class LikelyPermanent(Unavailable):
    """A failure that may pass but likely won't, as a wrong address: more than `tries` attempts are not worth it."""

    def __init__(self, why: str, *, tries: int, exit_code: int = 69) -> None:
        super().__init__(why, exit_code=exit_code)
        self.tries = tries


@dataclass(frozen=True)
class Endpoint:
    """The endpoint in error texts. `key` says where the key came from; `secret` is the key itself, never shown."""

    model: str
    base_url: str
    key: str = ""
    key_hint: str = ""
    secret: str = field(default="", repr=False)

    def sanitize(self, text: str, max_chars: int = 300) -> str:
        """Clean a server's text to one line: no control characters, at most `max_chars`, the key blotted out."""
        if self.secret:
            text = text.replace(self.secret, f"…{self.secret[-4:]}" if len(self.secret) > 8 else "…")
        return one_line(text, max_chars, instead="�")


def error_from_status(
    status: int, headers: Mapping[str, str], body: bytes, endpoint: Endpoint, now: float
) -> ModelError:
    """The error that an HTTP status means. `headers` have lower-case names; `now` is Unix time in seconds."""
    base = endpoint.base_url
    if 300 <= status < 400:
        place = endpoint.sanitize(headers.get("location", "another address"), 120)
        return Refused(
            f"{base} redirects to {place}. It was not followed, so that the conversation stays where it was meant "
            "to go; set KIMI_BASE_URL (or base_url) to the right address.",
            status,
            exit_code=78,
        )
    reported = _parse_error_body(body)
    wait_s = parse_retry_after(headers, reported.message, now, limited=status in (403, 429))
    shown = endpoint.sanitize(reported.message) or f"HTTP status {status}"
    return _classify_error(status, reported, shown, endpoint, wait_s)


def error_from_object(error: object, endpoint: Endpoint, now: float) -> ModelError:
    """The error that an `error` object inside a 200 means: by the status or type it names, else by its words."""
    reported = _parse_error_object(error)
    status: object = None
    if isinstance(error, dict):
        status = next((error[key] for key in ("status", "code", "status_code") if _is_status(error.get(key))), None)
    found = int(status) if isinstance(status, int | str) else _guess_status(reported)
    wait_s = parse_retry_after({}, reported.message, now)
    return _classify_error(found, reported, endpoint.sanitize(reported.message) or "no reason given", endpoint, wait_s)


def error_from_stray_body(content_type: str, body: bytes, endpoint: Endpoint, now: float) -> ModelError:
    """The error in a 200 that held no event at all: an error object, a web page, or nothing."""
    error = _decode_json(body)
    if isinstance(error, dict) and (error.get("error") or error.get("detail") or error.get("message")):
        return error_from_object(error.get("error") or error, endpoint, now)
    if not body.strip():
        # llama.cpp's server answers a prompt over its window so.
        text = f"{endpoint.base_url} sent an empty answer; some servers do where the prompt does not fit their window."
        return LikelyPermanent(f"{text} Set `window` to theirs.", tries=3)
    if re.match(rb"\s*(data|event|id|retry)?:", body) or _is_cut_off(content_type, body):
        return Unavailable("The answer broke off before its end.")
    got = endpoint.sanitize(content_type.partition(";")[0], 60) or "no content type"
    start = endpoint.sanitize(_page_title(body), 120)
    text = f"{endpoint.base_url} is not an OpenAI-compatible API: it sent {got} ({start})."
    return LikelyPermanent(f"{text} Check KIMI_BASE_URL or base_url.", tries=3)


def error_from_connection(error: BaseException, endpoint: Endpoint) -> Unavailable:
    """One sentence for what broke below HTTP: refused, unknown host, TLS, timeout, or a connection that broke off."""
    causes = list(_causes(error))
    base = endpoint.base_url
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            why = endpoint.sanitize(str(getattr(cause, "verify_message", "") or cause), 120)
            text = (
                f"The TLS certificate of {base} cannot be trusted ({why}). If a proxy of your own signs it, "
                "name its certificate in SSL_CERT_FILE."
            )
            return Unavailable(text, retry=False, exit_code=78)
        if isinstance(cause, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(cause):
            text = f"{base} does not speak TLS on that port; http:// may be meant."
            return Unavailable(text, retry=False, exit_code=78)
        if isinstance(cause, ssl.SSLError):
            return Unavailable(f"The TLS connection to {base} broke ({endpoint.sanitize(str(cause), 120)}).")
        if isinstance(cause, socket.gaierror):
            return Unavailable(f"The host of {base} was not found (DNS); check the network and the address.")
        if isinstance(cause, ConnectionRefusedError):
            return Unavailable(f"Nothing listens at {base} (connection refused).")
        if isinstance(cause, TimeoutError):
            return Unavailable(f"{base} did not answer the connection in time.")
        if isinstance(cause, OSError) and cause.errno in _UNREACHABLE:
            return Unavailable(f"{base} cannot be reached ({endpoint.sanitize(cause.strerror or '', 120)}).")
        if type(cause).__name__ == "ProxyError":  # httpx2's, which is not imported here
            why, passing = endpoint.sanitize(str(cause), 120), str(cause).startswith("5")
            text = f"The proxy on the way to {base} refuses: {why}. See HTTPS_PROXY and NO_PROXY."
            return Unavailable(text, retry=passing, exit_code=69 if passing else 78)
    why = endpoint.sanitize(str(causes[-1]) or type(causes[-1]).__name__, 120).rstrip(".")
    # anyio joins the errors of several addresses in one text, without their types.
    if "All connection attempts failed" in str(error):
        return Unavailable(f"{base} cannot be reached ({why}).")
    return Unavailable(f"The connection to {base} broke off ({why}).")


def is_connection_refused(error: BaseException) -> bool:
    """Whether nothing listens there."""
    return any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))


@dataclass(frozen=True)
class _ServerError:
    """An error as the server put it: its message, and the types and codes that it names, joined by blanks."""

    message: str
    kinds: str = ""


def _classify_error(status: int, reported: _ServerError, shown: str, endpoint: Endpoint, wait_s: float) -> ModelError:
    base, model = endpoint.base_url, endpoint.model
    words = f"{reported.kinds} {reported.message}"
    if limit := _classify_limit(status, reported, endpoint, shown, wait_s):
        return limit
    if status >= 500 or status in _TRANSIENT_STATUSES:
        return Unavailable(f"{base} is not available ({status}): {shown}", wait_s)
    if status == 413 or (status in (400, 422) and _TOO_LONG.search(words)):
        return TooLong(f"The conversation no longer fits the model's window: {shown}")
    if status == 400 and _FILTERED.search(words):
        return Refused(f"The provider's content filter refused the request (400): {shown}", status)
    if status == 400 and _BAD_HISTORY.search(words):
        text = f"The provider does not take the conversation as it stands (400): {shown}".rstrip(".")
        return Refused(f"{text}. The session is kept and usable: /undo takes back the last turn.", status)
    if status in (401, 403):
        who = f"the key from {endpoint.key}" if endpoint.key else "a request without a key (set KIMI_API_KEY)"
        verb = "does not accept" if status == 401 else "does not allow this to"
        return Refused(f"{base} {verb} {who} ({status}): {shown} {endpoint.key_hint}".rstrip(), status, exit_code=78)
    if status == 404:
        text = f"{base} has no model {model!r}, or is not the API's address (404): {shown}"
        return Refused(text, status, exit_code=78)
    return Refused(f"{base} refused the request ({status}): {shown}", status)


def _classify_limit(
    status: int, reported: _ServerError, endpoint: Endpoint, shown: str, wait_s: float
) -> Unavailable | None:
    """The error of a limit that was met: a used-up balance first, for topping up is all that helps there."""
    limited = status in (403, 429)
    used_up = any(kind in reported.kinds for kind in _QUOTA_TYPES) or (limited and _QUOTA.search(reported.message))
    if status == 402 or used_up:
        text = f"The account's quota is used up ({status}): {shown}"
        return Unavailable(text, wait_s, retry=False, exit_code=75, limit="quota")
    if limited and _PERIOD.search(reported.message):
        text = f"A limit of the account is reached for hours or days ({status}): {shown}"
        return Unavailable(text, wait_s, exit_code=75, limit="period")
    if status == 429:
        return Unavailable(f"{endpoint.base_url} asks for patience (429): {shown}", wait_s, exit_code=75, limit="rate")
    return None


def _guess_status(reported: _ServerError) -> int:
    """The status that an error without one means; what names nothing known is taken for a server's fault."""
    for kind in reported.kinds.split():
        if kind in _STATUS_BY_TYPE:
            return _STATUS_BY_TYPE[kind]
    return 400 if _TOO_LONG.search(reported.message) or _FILTERED.search(reported.message) else 500


def _parse_error_body(body: bytes) -> _ServerError:
    """Parse the error in a body, whatever shape it has."""
    value = _decode_json(body)
    if isinstance(value, dict):
        return _parse_error_object(value.get("error") or value.get("detail") or value)
    return _ServerError(_page_title(body)) if value is None else _parse_error_object(value)


def _parse_error_object(error: object) -> _ServerError:
    if not isinstance(error, dict):
        return _ServerError(str(error))
    kinds = " ".join(each for each in (error.get("type"), error.get("code")) if isinstance(each, str))
    message = next((each for each in (error.get("message"), error.get("msg")) if isinstance(each, str)), "")
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and isinstance(raw := metadata.get("raw"), str):
        # OpenRouter wraps what its upstream reported, which is often an error body of its own.
        inner = _parse_error_body(raw.encode("utf-8", "replace"))
        return _ServerError(f"{message}: {inner.message}", f"{kinds} {inner.kinds}")
    return _ServerError(message or str(error), kinds)


def _is_cut_off(content_type: str, body: bytes) -> bool:
    """Whether this is the start of an event stream's first line."""
    fields = (b"data:", b"event:", b"id:", b"retry:")
    return content_type.startswith("text/event-stream") and any(each.startswith(body.lstrip()) for each in fields)


def _decode_json(body: bytes) -> Any:
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
