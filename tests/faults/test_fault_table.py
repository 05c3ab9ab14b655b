"""Every answer with an error in it: what the person reads, whether it is asked again, and how many requests that costs.

The rows are those of the error table of Moonshot's API and of what other servers do; over real HTTP, with the retries.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from email.utils import formatdate
from typing import NamedTuple

import pytest

from kimi_agent.errors import ModelError, Refused, TooLong, Unavailable
from kimi_agent.log.messages import Assistant
from kimi_agent.model.retrying.retry import INTERACTIVE_RETRY
from tests.faults.outcome import ask_at
from tests.faults.server import FaultServer, answer, streamed

TRIES = 4
POLICY = replace(INTERACTIVE_RETRY, tries=TRIES)
"""As patient as in interactive use, but for fewer requests of what would be asked eight times."""
GOOD = streamed(b'data: {"choices":[{"delta":{"content":"fine"},"finish_reason":"stop"}]}\n\n', b"data: [DONE]\n\n")
FINE = Assistant("fine")
KEY = "sk-abcdefghijklmnop"


def says(message: str, kind: str = "", **more: object) -> bytes:
    return json.dumps({"error": {"message": message, "type": kind, **more}}).encode()


class Row(NamedTuple):
    """An answer that always comes, and what has to become of it."""

    status: str
    body: bytes
    error: type[ModelError]
    requests: int
    exit_code: int
    words: str
    headers: Mapping[str, str] = {}
    limit: str = ""


INVALID = "invalid_request_error"
RATE = "rate_limit_reached_error"
QUOTA = "exceeded_current_quota_error"
ORG = "Your account org-1<ak-2> request reached organization"

REFUSED = [
    Row("400 Bad Request", says("Invalid request: bad field", INVALID), Refused, 1, 1, "Invalid request: bad field"),
    Row("400 Bad Request", says("invalid temperature: only 1 is allowed", INVALID), Refused, 1, 1, "only 1 is allowed"),
    Row(
        "400 Bad Request",
        says("The request was rejected because it was considered high risk", "content_filter"),
        Refused,
        1,
        1,
        "content filter",
    ),
    Row("400 Bad Request", says("tool_call_id  is not found", INVALID), Refused, 1, 1, "/undo"),
    Row("400 Bad Request", says("Invalid request: tool_call_id  is not found", INVALID), Refused, 1, 1, "/undo"),
    Row(
        "400 Bad Request",
        says("the message at position 3 with role 'assistant' must not be empty", INVALID),
        Refused,
        1,
        1,
        "usable: /undo",
    ),
    Row(
        "400 Bad Request",
        says("thinking is enabled but reasoning_content is missing in assistant tool call message at index 4", INVALID),
        Refused,
        1,
        1,
        "usable: /undo",
    ),
    Row("401 Unauthorized", says("Invalid Authentication", "invalid_authentication_error"), Refused, 1, 78, "…mnop"),
    Row(
        "401 Unauthorized",
        says(f"Incorrect API key provided: {KEY}", "incorrect_api_key_error"),
        Refused,
        1,
        78,
        "does not accept the key from KIMI_API_KEY (…mnop)",
    ),
    Row(
        "403 Forbidden",
        says("The API you are accessing is not open", "permission_denied_error"),
        Refused,
        1,
        78,
        "does not allow this to the key from KIMI_API_KEY (…mnop)",
    ),
    Row(
        "403 Forbidden",
        says("Kimi For Coding is currently only available for Coding Agents", "access_terminated_error"),
        Refused,
        1,
        78,
        "only available for Coding Agents",
    ),
    Row(
        "404 Not Found",
        says("Not found the model kimi-k9 or Permission denied", "resource_not_found_error"),
        Refused,
        1,
        78,
        "has no model 'kimi-k2.6'",
    ),
    Row("404 Not Found", b"<html><title>404 Not Found</title>", Refused, 1, 78, "404 Not Found"),
    Row("405 Method Not Allowed", b"", Refused, 1, 1, "HTTP status 405"),
    Row("499 Client Closed", says("went away", "client_closed_request"), Refused, 1, 1, "went away"),
]

TOO_LONG = [
    Row("400 Bad Request", says(message, kind), TooLong, 1, 1, message)
    for message, kind in [
        ("Input token length too long", INVALID),
        ("Your request exceeded model token limit : 262144", INVALID),
        ("Invalid request: Your request exceeded model token limit: 262144 (requested: 300000)", INVALID),
        ("total message size 5000000 exceeds limit 4194304", INVALID),
        ("This model's maximum context length is 262144 tokens. However, you requested 300000", "BadRequestError"),
        ("'max_tokens' or 'max_completion_tokens' is too large: 32768. This model's limit is 20000", "BadRequestError"),
    ]
] + [
    Row("413 Content Too Large", b"<title>413 Request Entity Too Large</title>", TooLong, 1, 1, "413 Request Entity"),
]

PASSING = [
    Row("408 Request Timeout", says("slow"), Unavailable, TRIES, 69, "(408): slow"),
    Row("409 Conflict", says("conflict"), Unavailable, TRIES, 69, "(409): conflict"),
    Row("425 Too Early", says("early"), Unavailable, TRIES, 69, "(425): early"),
    Row("500 Internal", says("invalid state transition", "server_error"), Unavailable, TRIES, 69, "(500): invalid"),
    Row("500 Internal", says("Failed to extract file: x", "unexpected_output"), Unavailable, TRIES, 69, "(500): Fail"),
    Row("502 Bad Gateway", b"<html><title>502\nBad Gateway</title>", Unavailable, TRIES, 69, "(502): 502 Bad Gateway."),
    Row("503 Unavailable", says("later", "server_unavailable"), Unavailable, TRIES, 69, "(503): later"),
    Row("504 Timeout", b"<html><h1>504 Gateway Time-out</h1>", Unavailable, TRIES, 69, "(504): 504 Gateway Time-out."),
    Row("529 Overloaded", says("overloaded"), Unavailable, TRIES, 69, "(529): overloaded"),
    Row(
        "502 Bad Gateway",
        says("Provider returned error", "", metadata={"raw": '{"error":{"message":"upstream is down"}}'}),
        Unavailable,
        TRIES,
        69,
        "Provider returned error: upstream is down",
    ),
]

LIMITED = [
    Row("429 Too Many", says(message, kind), Unavailable, requests, 75, message, headers, limit)
    for message, kind, requests, headers, limit in [
        ("The engine is currently overloaded, please try again later", "engine_overloaded_error", TRIES, {}, "rate"),
        (f"{ORG} max concurrency: 1, please try again after 1 seconds", RATE, TRIES, {"retry-after": "1"}, "rate"),
        ("request reached max organization concurrency: 1", RATE, TRIES, {}, "rate"),
        (f"{ORG} max RPM: 3, please try again after 1 seconds", RATE, TRIES, {}, "rate"),
        (f"{ORG} TPM rate limit, current:600000, limit:500000", RATE, TRIES, {}, "rate"),
        ("Organization Rate limit exceeded, please try again after 1 seconds", RATE, TRIES, {}, "rate"),
        (f"{ORG} TPD rate limit, current:1500001, limit:1500000", RATE, 3, {}, "period"),
        ("Your account org-1<ak-2> is suspended, please check your plan and billing details", QUOTA, 1, {}, "quota"),
        ("org-1 is suspended due to insufficient balance, please recharge your account", QUOTA, 1, {}, "quota"),
        ("You exceeded your current token quota: <org-1> 5, please check your account balance", QUOTA, 1, {}, "quota"),
        ("You exceeded your current token quota, please check your account balance", "", 1, {}, "quota"),
        ("no credit", "insufficient_quota", 1, {}, "quota"),
        ("paid up? no", QUOTA, 1, {"retry-after": "1"}, "quota"),
    ]
] + [
    Row("402 Payment Required", says("membership not verified"), Unavailable, 1, 75, "quota is used up", {}, "quota"),
    Row(
        "403 Forbidden",
        says("You've reached your usage limit for this billing cycle. Your quota will be refreshed", "x"),
        Unavailable,
        3,
        75,
        "is reached for hours or days",
        {},
        "period",
    ),
    Row(
        "403 Forbidden",
        says("You've reached your weekly (7-day) usage limit.", "access_terminated_error"),
        Unavailable,
        1,
        75,
        "Retry at ",
        {"retry-after": "86400"},
        "period",
    ),
    Row("403 Forbidden", says("insufficient balance"), Unavailable, 1, 75, "quota is used up", {}, "quota"),
]


def title(row: Row) -> str:
    return f"{row.status} {row.body.decode(errors='replace')[:40]}"


@pytest.mark.parametrize("row", [*REFUSED, *TOO_LONG, *PASSING, *LIMITED], ids=title)
async def test_a_status_has_one_meaning_one_sentence_and_a_number_of_requests(row: Row) -> None:
    async with FaultServer({"x": [[answer(row.status, row.body, **row.headers)]]}).running() as server:
        outcome = await ask_at(server.url(), key=KEY, policy=POLICY)
    assert type(outcome.error) is row.error
    assert row.words in str(outcome.error)
    assert str(outcome.error).isprintable()
    assert "abcdefgh" not in str(outcome.error)
    assert outcome.error.exit_code == row.exit_code
    assert server.hits["x"] == row.requests
    assert not isinstance(outcome.error, Unavailable) or outcome.error.limit == row.limit


@pytest.mark.parametrize("row", [*PASSING, *(row for row in LIMITED if row.requests == TRIES)], ids=title)
async def test_what_passes_costs_one_more_request_and_leaves_one_answer(row: Row) -> None:
    scenario = [[answer(row.status, row.body, **row.headers)], [GOOD]]
    async with FaultServer({"x": scenario}).running() as server:
        outcome = await ask_at(server.url())
    assert outcome.answer == FINE
    assert [each.attempt for each in outcome.retries] == [2]
    assert server.hits["x"] == 2


async def test_interactively_a_fault_that_stays_costs_eight_requests() -> None:
    async with FaultServer({"x": [[answer("503 Unavailable")]]}).running() as server:
        outcome = await ask_at(server.url())
    assert str(outcome.error).endswith("is not available (503): HTTP status 503. Given up after 8 attempts.")
    assert server.hits["x"] == 8


@pytest.mark.parametrize(
    ("headers", "message", "wait_s"),
    [
        ({"retry-after": "2"}, "", 2.0),
        ({"retry-after": "1.5"}, "", 1.5),
        ({"retry-after": "20ms"}, "", 0.02),
        ({"retry-after-ms": "250", "retry-after": "9"}, "", 0.25),
        ({"x-retry-after": "1"}, "", 1.0),
        ({"retry-after": formatdate(30, usegmt=True)}, "", 30.0),
        ({"retry-after": formatdate(9030, usegmt=True), "date": formatdate(9000, usegmt=True)}, "", 30.0),
        ({"retry-after": formatdate(-30, usegmt=True)}, "", 0.0),
        ({"retry-after": "-5"}, "", 0.0),
        ({"retry-after": "soon"}, "", 0.0),
        ({"x-ratelimit-reset": "12"}, "", 12.0),
        ({"x-ratelimit-reset": "2000000012", "date": formatdate(2_000_000_000, usegmt=True)}, "", 12.0),
        ({"x-ratelimit-reset": "2000000012000", "date": formatdate(2_000_000_000, usegmt=True)}, "", 12.0),
        ({}, "max RPM: 3, please try again after 7 seconds", 7.0),
        ({}, "busy", 0.0),
    ],
)
async def test_a_429_is_waited_for_as_long_as_it_asks_in_any_spelling(
    headers: dict[str, str], message: str, wait_s: float
) -> None:
    scenario = [[answer("429 Too Many", says(message or "slow down", RATE), **headers)], [GOOD]]
    async with FaultServer({"x": scenario}).running() as server:
        outcome = await ask_at(server.url())
    assert outcome.answer == FINE
    assert outcome.waits == pytest.approx([wait_s])
    assert server.hits["x"] == 2


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"retry-after": "3600"}, ""),
        ({"retry-after": formatdate(3600, usegmt=True)}, ""),
        ({"x-ratelimit-reset": "3600"}, ""),
        ({}, "TPD rate limit, try again in 5 hours 1 minute"),
        ({}, "TPD rate limit, resets at 1970-01-01T05:00:00Z"),
        ({"retry-after": "1e300"}, ""),
    ],
)
async def test_a_429_beyond_the_budget_stops_at_once_and_names_the_time(headers: dict[str, str], message: str) -> None:
    script = [answer("429 Too Many", says(message or "slow down", RATE), **headers)]
    async with FaultServer({"x": [script]}).running() as server:
        outcome = await ask_at(server.url())
    assert "Retry at " in str(outcome.error)
    assert outcome.error is not None
    assert outcome.error.exit_code == 75
    assert server.hits["x"] == 1


async def test_wait_for_quota_sleeps_until_the_named_reset_and_goes_on() -> None:
    fault = answer("429 Too Many", says("TPD rate limit", RATE), retry_after="18000")
    async with FaultServer({"x": [[fault], [GOOD]]}).running() as server:
        outcome = await ask_at(server.url(), policy=replace(INTERACTIVE_RETRY, wait_for_quota=True))
    assert outcome.answer == FINE
    assert outcome.waits == [18000.0]
    assert server.hits["x"] == 2


async def test_wait_for_quota_probes_a_limit_that_names_no_reset() -> None:
    fault = answer("403 Forbidden", says("You've reached your 5-hour usage limit.", "access_terminated_error"))
    async with FaultServer({"x": [[fault], [fault], [fault], [fault], [GOOD]]}).running() as server:
        outcome = await ask_at(server.url(), policy=replace(INTERACTIVE_RETRY, wait_for_quota=True))
    assert outcome.answer == FINE
    assert min(outcome.waits) >= 60.0
    assert server.hits["x"] == 5


async def test_wait_for_quota_never_waits_for_money() -> None:
    fault = answer("429 Too Many", says("please check your account balance", QUOTA), retry_after="1")
    async with FaultServer({"x": [[fault], [GOOD]]}).running() as server:
        outcome = await ask_at(server.url(), policy=replace(INTERACTIVE_RETRY, wait_for_quota=True))
    assert outcome.error is not None
    assert outcome.error.exit_code == 75
    assert server.hits["x"] == 1


BUSY = {"message": "busy", "type": "engine_overloaded_error"}


@pytest.mark.parametrize(
    ("form", "error", "kind", "requests"),
    [
        ("first event", BUSY, Unavailable, TRIES),
        ("later event", BUSY, Unavailable, TRIES),
        ("error event", BUSY, Unavailable, TRIES),
        ("no stream", BUSY, Unavailable, TRIES),
        ("later event", {"message": "busy", "code": 503}, Unavailable, TRIES),
        ("no stream", {"message": "no balance", "type": QUOTA}, Unavailable, 1),
        ("first event", {"message": "no", "code": "400"}, Refused, 1),
        ("error event", {"message": "high risk", "type": "content_filter"}, Refused, 1),
        ("first event", {"message": "maximum context length is 8", "type": "BadRequestError"}, TooLong, 1),
        ("no stream", {"message": "x", "status": 401}, Refused, 1),
        ("error event", "just words", Unavailable, TRIES),
    ],
)
async def test_an_error_inside_a_200_is_taken_for_the_status_it_names(
    form: str, error: object, kind: type[ModelError], requests: int
) -> None:
    data = json.dumps({"error": error}).encode()
    said = b'data: {"choices":[{"delta":{"content":"half"}}]}\n\n'
    scripts = {
        "first event": streamed(b"data: " + data + b"\n\n"),
        "later event": streamed(said, b"data: " + data + b"\n\n"),
        "error event": streamed(said, b"event: error\ndata: " + data + b"\n\n", framing="chunked"),
        "no stream": answer("200 OK", data, content_type="application/json"),
    }
    async with FaultServer({"x": [[scripts[form]]]}).running() as server:
        outcome = await ask_at(server.url(), policy=POLICY)
    assert type(outcome.error) is kind
    assert server.hits["x"] == requests


@pytest.mark.parametrize(
    ("script", "requests", "words"),
    [
        (answer("200 OK", b"<html><title>Sign in</title>", content_type="text/html"), 3, "it sent text/html (Sign in)"),
        (answer("200 OK", b"hello", content_type="text/plain"), 3, "it sent text/plain (hello)"),
        (answer("200 OK", b'{"ok":true}'), 3, "it sent no content type"),
        (answer("200 OK", b'{"ok":true}', content_type="application/json"), 3, "not an OpenAI-compatible API"),
        (answer("200 OK", content_type="text/event-stream"), 3, "sent an empty answer"),
        (answer("204 No Content"), 3, "sent an empty answer"),
        (streamed(b": ping\n\n", b": ping\n\n"), TRIES, "broke off"),
        (streamed(b"event: error\n\n"), TRIES, "without words"),
        (streamed(b"data: {not json}\n\n"), TRIES, "broken event"),
        (streamed(b"data: [DONE]\n\n"), 3, "empty answer"),
        (streamed(b'data: {"choices":[]}\n\n', b"data: [DONE]\n\n"), 3, "empty answer"),
    ],
)
async def test_a_200_without_an_answer_is_asked_for_again_a_few_times(script: bytes, requests: int, words: str) -> None:
    async with FaultServer({"x": [[script]], "once": [[script], [GOOD]]}).running() as server:
        outcome = await ask_at(server.url(), policy=POLICY)
        again = await ask_at(server.url("once"))
    assert words in str(outcome.error)
    assert server.hits == {"x": requests, "once": 2}
    assert again.answer == FINE


async def test_a_wrong_content_type_does_not_matter_where_the_answer_is_good() -> None:
    good = GOOD.replace(b"text/event-stream", b"text/html")
    async with FaultServer({"x": [[good]]}).running() as server:
        outcome = await ask_at(server.url())
    assert outcome.answer == FINE
    assert server.hits["x"] == 1


EMPTY = streamed(b'data: {"choices":[{"delta":{"reasoning_content":"hm"},"finish_reason":"stop"}]}\n\n')


async def test_an_empty_answer_is_asked_for_again_then_nudged_then_given_up() -> None:
    async with FaultServer({"x": [[EMPTY]], "nudged": [[EMPTY], [EMPTY], [GOOD]]}).running() as server:
        outcome = await ask_at(server.url())
        nudged = await ask_at(server.url("nudged"))
    assert "empty answer" in str(outcome.error)
    assert server.hits == {"x": 3, "nudged": 3}
    assert nudged.answer == FINE
    assert [b"Your last answer was empty" in body for body in server.bodies] == [False, False, True] * 2
