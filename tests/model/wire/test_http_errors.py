import errno
import json
import socket
import ssl
from email.utils import formatdate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kimi_agent.errors import ModelError, Refused, TooLong, Unavailable
from kimi_agent.model.wire.http_errors import (
    Endpoint,
    LikelyPermanent,
    error_from_connection,
    error_from_object,
    error_from_status,
    error_from_stray_body,
)
from kimi_agent.model.wire.retry_after import parse_retry_after
from tests.golden_texts import Golden

KEY = "sk-very-secret-key-abcd"
AT = Endpoint("kimi-k2.6", "https://api.moonshot.ai/v1", "KIMI_API_KEY (…abcd)", "Two platforms.", KEY)
NOW = 1_800_000_000.0


def error(status: int, kind: str, message: str, headers: dict[str, str] | None = None) -> ModelError:
    body = json.dumps({"error": {"message": message, "type": kind}}).encode()
    return error_from_status(status, headers or {}, body, AT, NOW)


@pytest.mark.parametrize(
    ("status", "kind", "message", "expected", "exit_code"),
    [
        (400, "invalid_request_error", "Invalid request: bad", Refused, 1),
        (400, "invalid_request_error", "Input token length too long", TooLong, 1),
        (400, "invalid_request_error", "Your request exceeded model token limit : 262144", TooLong, 1),
        (400, "invalid_request_error", "total message size 5000000 exceeds limit 4194304", TooLong, 1),
        (413, "", "Payload too large", TooLong, 1),
        (400, "content_filter", "The request was rejected because it was considered high risk", Refused, 1),
        (401, "incorrect_api_key_error", "Incorrect API key provided", Refused, 78),
        (403, "permission_denied_error", "The API you are accessing is not open", Refused, 78),
        (404, "resource_not_found_error", "Not found the model x or Permission denied", Refused, 78),
        (422, "", "unprocessable", Refused, 1),
        (408, "", "timeout", Unavailable, 69),
        (409, "", "conflict", Unavailable, 69),
        (425, "", "early", Unavailable, 69),
        (500, "server_error", "invalid state transition", Unavailable, 69),
        (503, "server_unavailable", "later", Unavailable, 69),
        (529, "", "overloaded", Unavailable, 69),
        (429, "engine_overloaded_error", "The engine is currently overloaded, please try again later", Unavailable, 75),
        (429, "rate_limit_reached_error", "request reached organization max RPM: 3", Unavailable, 75),
    ],
)
def test_a_status_becomes_an_error_of_the_house(
    status: int, kind: str, message: str, expected: type[ModelError], exit_code: int
) -> None:
    found = error(status, kind, message)
    assert type(found) is expected
    assert found.exit_code == exit_code
    assert message in str(found)
    assert not isinstance(found, Unavailable) or found.retry


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("BadRequestError", "This model's maximum context length is 262144 tokens. However, you requested 300000"),
        ("BadRequestError", "'max_tokens' or 'max_completion_tokens' is too large: 32768. The limit is 20000"),
        ("BadRequestError", "max_completion_tokens is too large: 99999"),
        ("BadRequestError", "max_tokens must be at least 1, got -812"),
        ("BadRequestError", "The decoder prompt (length 9) is longer than the maximum model length of 8"),
        ("", "The input (9 tokens) is longer than the model's context length (8 tokens)."),
        ("", "You passed 9 input tokens. However, the model's context length is only 8 tokens"),
        ("exceed_context_size_error", "the request exceeds the available context size"),
        ("", "Requested tokens (2000) exceed context window of 512"),
        ("", "input length and `max_tokens` exceed context limit: 9 + 9 > 12"),
        ("invalid", "Please reduce the length of the messages or completion."),
        ("context_length_exceeded", "too big"),
        ("validation", "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5000"),
        ("", "prompt is too long: 200000 tokens > 199999 maximum"),
        ("", "prompt too long; exceeded max context length by 3 tokens"),
    ],
)
@pytest.mark.parametrize("status", [400, 422])
def test_every_servers_word_for_too_long_is_known(status: int, kind: str, message: str) -> None:
    assert type(error(status, kind, message)) is TooLong
    assert type(error_from_object({"type": kind, "message": message}, AT, NOW)) is TooLong


@pytest.mark.parametrize(
    "message",
    [
        "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        "max_tokens: Input should be a valid integer",
        "invalid temperature: only 1 is allowed for this model",
        "stop array too long. Expected an array with maximum length 5, but got 6",
        "tools.function.parameters is not a valid moonshot flavored json schema",
    ],
)
def test_other_refusals_are_not_taken_for_it(message: str) -> None:
    assert type(error(400, "invalid_request_error", message)) is Refused


NOT_TAKEN = (
    "tool_call_id  is not found",
    "Invalid request: tool_call_id functions.x:0 is not found",
    "the message at position 3 with role 'assistant' must not be empty",
    "text content is empty",
    "thinking is enabled but reasoning_content is missing in assistant tool call message at index 4",
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'",
    "messages with role 'tool' must be a response to a preceeding message with 'tool_calls'",
)


def test_a_conversation_that_is_not_taken_leaves_a_way_on(golden: Golden) -> None:
    golden(*(str(error(400, "invalid_request_error", message)) for message in NOT_TAKEN))


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (429, "rate_limit_reached_error", "request reached organization TPD rate limit, current:9, limit:8"),
        (429, "", "You've reached your 5-hour usage limit. Your quota will reset when the window ends."),
        (403, "access_terminated_error", "You've reached your weekly (7-day) usage limit."),
        (403, "permission_error", "You've reached your usage limit for this billing cycle. It will be refreshed"),
        (429, "rate_limit_exceeded", "Rate limit reached for tokens per day (TPD): Limit 8, Used 8"),
    ],
)
def test_a_limit_of_hours_or_days_is_kept_apart_from_one_of_seconds(status: int, kind: str, message: str) -> None:
    found = error(status, kind, message, {"retry-after": "7200"})
    assert isinstance(found, Unavailable)
    assert (found.limit, found.retry, found.exit_code, found.wait_s) == ("period", True, 75, 7200.0)


def test_what_an_upstream_said_behind_openrouter_is_understood(golden: Golden) -> None:
    raw = json.dumps({"error": {"message": "suspended", "type": "exceeded_current_quota_error"}})
    wrapped = {"message": "Provider returned error", "code": 429, "metadata": {"raw": raw, "provider_name": "M"}}
    found = error_from_object(wrapped, AT, NOW)
    assert isinstance(found, Unavailable)
    assert (found.limit, found.retry) == ("quota", False)
    golden(str(found))


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [
        (429, "exceeded_current_quota_error", "Your account is suspended, please check your plan and billing details"),
        (429, "", "You exceeded your current token quota: <org> 1, please check your account balance"),
        (429, "", "insufficient balance, please recharge"),
        (402, "", "membership not verified"),
    ],
)
def test_a_used_up_quota_is_not_tried_again(status: int, kind: str, message: str) -> None:
    found = error(status, kind, message)
    assert isinstance(found, Unavailable)
    assert (found.retry, found.exit_code) == (False, 75)


def test_a_refused_key_is_named_by_its_source_and_never_shown(golden: Golden) -> None:
    found = error(401, "incorrect_api_key_error", f"Incorrect API key provided: {KEY}")
    assert KEY not in str(found)
    golden(str(found))
    assert KEY not in repr(AT)


def test_a_missing_model_is_named_with_the_address(golden: Golden) -> None:
    golden(str(error(404, "", "Not found")))


def test_a_redirect_is_named_and_not_followed(golden: Golden) -> None:
    found = error_from_status(307, {"location": "https://evil.example/\x1b[31m"}, b"", AT, NOW)
    assert isinstance(found, Refused)
    assert found.exit_code == 78
    golden(str(found))


@pytest.mark.parametrize(
    "body",
    [
        b"<html><head><title>504 Gateway\r\n Time-out</title></head>" + b"<p>x</p>" * 5000,
        b"plain \x1b]52;c;AAAA\x07 text\x00" * 500,
        json.dumps({"error": {"message": "a\u202eb\n" * 1000}}).encode(),
        json.dumps({"detail": [{"loc": ["body"], "msg": "field\x9b required"}]}).encode(),
        b"\xff\xfe\x00",
        b"[" * 50_000,
        b"",
    ],
)
@pytest.mark.parametrize("status", [400, 401, 404, 429, 504])
def test_whatever_a_server_says_is_one_short_clean_line(status: int, body: bytes) -> None:
    text = str(error_from_status(status, {}, body, AT, NOW))
    assert len(text) < 550
    assert text.isprintable()


def test_the_title_stands_for_a_web_page(golden: Golden) -> None:
    found = error_from_status(504, {}, b"<html><title>504 Gateway Time-out</title><body>long</body>", AT, NOW)
    golden(str(found))


@pytest.mark.parametrize(
    ("headers", "message", "seconds"),
    [
        ({"retry-after": "2"}, "", 2.0),
        ({"retry-after": "1.5"}, "", 1.5),
        ({"retry-after": "20ms"}, "", 0.02),
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
        ({"x-retry-after": "1"}, "", 1.0),
        ({"retry-after": formatdate(NOW + 30, usegmt=True)}, "", 30.0),
        ({"retry-after": formatdate(NOW - 30, usegmt=True)}, "", 0.0),
        ({"retry-after": "-5"}, "", 0.0),
        ({"retry-after": "soon"}, "", 0.0),
        ({"retry-after": "nan"}, "", 0.0),
        ({"retry-after": ""}, "", 0.0),
        ({"retry-after": "3s"}, "", 3.0),
        ({"retry-after": "soon", "x-retry-after": "4"}, "", 4.0),
        ({"retry-after": formatdate(NOW + 30).replace("-0000", "")}, "", 30.0),
        ({"retry-after": formatdate(9030, usegmt=True), "date": formatdate(9000, usegmt=True)}, "", 30.0),
        ({"x-ratelimit-reset": "12"}, "", 12.0),
        ({"x-ratelimit-reset": "12", "x-ratelimit-remaining": "0"}, "", 12.0),
        ({"x-ratelimit-reset": "12", "x-ratelimit-remaining": "5"}, "", 0.0),
        ({"x-ratelimit-reset": f"{NOW + 12:.0f}"}, "", 12.0),
        ({"x-ratelimit-reset": f"{NOW * 1000 + 12_000:.0f}"}, "", 12.0),
        ({"x-ratelimit-reset": f"{NOW - 12:.0f}"}, "", 0.0),
        ({"x-ratelimit-reset": "never"}, "", 0.0),
        ({"ratelimit-reset": "12"}, "", 12.0),
        ({"x-ratelimit-reset": "12"}, "try again after 3 seconds", 3.0),
        ({}, "Please try again in 1m2.5s.", 62.5),
        ({}, "try again in 5 days 22 hours 11 minutes.", 511_860.0),
        ({}, "Your quota resets at 2027-01-15T09:00:00Z.", 3600.0),
        ({}, "Try again after 2027-01-15 10:00:00 +01:00", 3600.0),
        ({}, "resets at 2027-99-99T09:00:00Z", 0.0),
        ({"retry-after": "1e300"}, "", 30 * 86_400.0),
        ({}, "max RPM: 3, please try again after 7 seconds", 7.0),
        ({}, "please retry in 300ms", 0.3),
        ({}, "busy", 0.0),
    ],
)
def test_the_hint_to_wait_is_read_in_all_its_spellings(headers: dict[str, str], message: str, seconds: float) -> None:
    assert parse_retry_after(headers, message, NOW) == pytest.approx(seconds)


def test_the_end_of_a_window_counts_only_where_its_limit_was_met() -> None:
    assert parse_retry_after({"x-ratelimit-reset": "12"}, "", NOW, limited=False) == 0.0
    found = error(503, "", "down", {"x-ratelimit-reset": "12"})
    assert isinstance(found, Unavailable)
    assert found.wait_s == 0.0


@settings(max_examples=60)
@given(st.text() | st.from_regex(r"[A-Z][a-z]{2},? ?[0-9]* ?[A-Za-z]* ?[0-9:]* ?[-+A-Z0-9]*"), st.text())
def test_no_header_and_no_words_break_it(value: str, message: str) -> None:
    names = ("retry-after", "x-retry-after", "retry-after-ms", "x-ratelimit-reset", "x-ratelimit-remaining", "date")
    for name in names:
        assert 0.0 <= parse_retry_after({name: value}, message, NOW) <= 30 * 86_400.0


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"message": "busy", "type": "engine_overloaded_error"}, Unavailable),
        ({"message": "busy", "code": 503}, Unavailable),
        ({"message": "no", "code": "400"}, Refused),
        ({"message": "maximum context length", "type": "invalid_request_error"}, TooLong),
        ({"message": "x", "status": 401}, Refused),
        ("just words", Unavailable),
        (["odd"], Unavailable),
        (7, Unavailable),
    ],
)
def test_an_error_inside_a_200_is_taken_for_the_status_it_names(found: object, expected: type[ModelError]) -> None:
    assert type(error_from_object(found, AT, NOW)) is expected


@pytest.mark.parametrize(
    ("kind", "body", "expected", "words"),
    [
        (
            "text/html",
            b"<html><title>Sign in</title>",
            LikelyPermanent,
            "not an OpenAI-compatible API: it sent text/html (Sign in)",
        ),
        ("application/json", b"", LikelyPermanent, "empty answer"),
        ("application/json", b'{"error": {"message": "Not found the model", "code": 404}}', Refused, "404"),
        ("text/event-stream", b": ping\n\n\n", Unavailable, "broke off"),
        ("text/event-stream", b"dat", Unavailable, "broke off"),
        ("", b'{"ok": true}', LikelyPermanent, "no content type"),
    ],
)
def test_a_200_that_is_no_stream_is_never_an_empty_answer(
    kind: str, body: bytes, expected: type[ModelError], words: str
) -> None:
    found = error_from_stray_body(kind, body, AT, NOW)
    assert type(found) is expected
    assert words in str(found)


def caused(cause: BaseException) -> Exception:
    outer = RuntimeError("Connection error.")
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("cause", "words", "retry"),
    [
        (ConnectionRefusedError(111, "refused"), "Nothing listens at", True),
        (ExceptionGroup("many", [OSError(1, "x"), ConnectionRefusedError(111, "refused")]), "Nothing listens at", True),
        (socket.gaierror(-2, "Name or service not known"), "was not found (DNS)", True),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "cannot be reached (Network is unreachable)", True),
        (TimeoutError(), "did not answer the connection in time", True),
        (ssl.SSLCertVerificationError(1, "certificate verify failed"), "cannot be trusted", False),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version"), "does not speak TLS", False),
        (ssl.SSLError(1, "[SSL: BAD_RECORD] bad record"), "The TLS connection", True),
        (ConnectionResetError(104, "reset"), "broke off", True),
        (
            OSError("Server disconnected without a response."),
            "broke off (Server disconnected without a response).",
            True,
        ),
    ],
)
def test_what_breaks_below_http_has_a_sentence_of_its_own(cause: BaseException, words: str, retry: bool) -> None:
    found = error_from_connection(caused(cause), AT)
    assert words in str(found)
    assert found.retry is retry
