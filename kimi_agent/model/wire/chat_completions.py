"""HTTP client for chat completions: sends our own JSON through the OpenAI SDK. The only import of `openai`.

`client.post(content=...)` with cached JSON was measured flat at 2 ms a step over 400 steps; the typed `create()`
walks every message for each request (20 ms at first, 290 ms at the end), and `extra_body` encodes all of it again.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kimi_agent.errors import Refused, Unavailable
from kimi_agent.model.endpoint import profiles
from kimi_agent.model.endpoint.api_keys import ApiKey
from kimi_agent.model.endpoint.profiles import THINKING_ALIAS, THINKING_TARGET, ModelSettings
from kimi_agent.model.protocol import Delta, Request, UnixClock
from kimi_agent.model.wire import http_errors
from kimi_agent.model.wire.http_errors import Endpoint, LikelyPermanent, error_from_connection
from kimi_agent.model.wire.request_encoder import BlobReader, RequestDialect, RequestEncoder
from kimi_agent.model.wire.response_stream import read_answer

if TYPE_CHECKING:
    import httpx2
    import openai

_ERROR_BYTES = 64 * 1024
_KEEP_IDLE_S = 240.0
_STALE_WITHIN_S = 5.0
_TRANSPORT_HEADERS = ("host", "content-length", "connection", "transfer-encoding")
"""What httpx2 itself puts on a request; every other header is set here or goes."""
_SOCKET_EXTENSION = "kimi_agent.socket"
"""Where a request keeps the connection that was made for it; nothing is there where it went into an older one."""


class _StaleConnection(Exception):
    """A kept connection was closed before a readable answer began: what was sent on it is sent again, once."""


class ChatCompletions:
    """A `Model` behind an OpenAI-compatible endpoint. One HTTP client, and with it one connection, for its life."""

    def __init__(
        self,
        settings: ModelSettings,
        key: ApiKey | None,
        *,
        environ: Mapping[str, str],
        blob: BlobReader,
        version: str,
        now: UnixClock = time.time,
    ) -> None:
        """`environ` is asked for proxies and TLS certificates, `version` is sent to the server."""
        profile = profiles.find_profile(settings.base_url)
        alias = settings.model == THINKING_ALIAS
        self._settings = settings
        self._key = key
        self._environ = environ
        self._user_agent = f"kimi-agent/{version}"
        self._now = now
        self._blob = blob
        model = THINKING_TARGET if alias and profile.aliases else settings.model
        thinking = settings.thinking or alias
        dialect = RequestDialect(model, profile, thinking, settings.max_output, settings.window)
        self._encoder = RequestEncoder(dialect, blob)
        secret = key.value if key is not None else ""
        self._endpoint = Endpoint(model, settings.base_url, str(key or ""), profile.key_hint, secret)
        self._markers = profile.markers
        self._client: openai.AsyncOpenAI | None = None
        self._answered = False

    @property
    def name(self) -> str:
        """The model as the person named it."""
        return self._settings.model

    @property
    def window(self) -> int:
        return self._settings.window

    async def aclose(self) -> None:
        """Close the connection."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """The deltas of one answer. Raises Unavailable, Refused or TooLong, each with one sentence."""
        try:
            response = await self._send(self._encoder.body(request))
        except Refused as error:
            if error.status != 404 or self._endpoint.model != THINKING_ALIAS:
                raise
            # Where the alias is not known, the real model with thinking on was meant.
            self._encoder = RequestEncoder(replace(self._encoder.dialect, model=THINKING_TARGET), self._blob)
            self._endpoint = replace(self._endpoint, model=THINKING_TARGET)
            response = await self._send(self._encoder.body(request))
        try:
            async with contextlib.aclosing(self._chunks(response)) as chunks:
                answer = read_answer(
                    chunks,
                    content_type=response.headers.get("content-type", ""),
                    endpoint=self._endpoint,
                    clocks=self._settings.clocks,
                    now=self._now,
                    markers=frozenset(tool.name for tool in request.tools) if self._markers else None,
                )
                async with contextlib.aclosing(answer):
                    async for delta in answer:
                        yield delta
        finally:
            # Unread bytes make this close the connection: a cancelled answer stops on the server's side too.
            await response.aclose()

    async def _send(self, body: bytes) -> "httpx2.Response":
        """The response once its headers are there. Raises for every status but 200s."""
        clocks = self._settings.clocks
        limit_s = clocks.connect_s + clocks.first_byte_s
        self._client = client = self._client or self._make_client()
        try:
            async with asyncio.timeout(min(limit_s, clocks.attempt_s)):
                with contextlib.suppress(_StaleConnection):
                    return await self._post(client, body)
                return await self._post(client, body)
        except TimeoutError as error:
            if clocks.attempt_s < limit_s:
                raise Unavailable(f"The answer took longer than {clocks.attempt_s:g} s and was cut off.") from error
            raise Unavailable(f"{self._endpoint.base_url} sent nothing within {clocks.first_byte_s:g} s.") from error
        except _StaleConnection as error:
            raise error_from_connection(error, self._endpoint) from error

    async def _post(self, client: "openai.AsyncOpenAI", body: bytes) -> "httpx2.Response":
        """The response to one request. Raises _StaleConnection where the kept connection was dead already."""
        import httpx2
        import openai

        clock = asyncio.get_running_loop().time
        started_at = clock()
        streaming: bool = True
        try:
            response = await client.post(
                "/chat/completions",
                content=body,
                cast_to=httpx2.Response,  # the response as it is: nothing read, nothing parsed
                stream=streaming,
                stream_cls=openai.AsyncStream[object],
            )
        except openai.APIConnectionError as error:
            broke = isinstance(error.__cause__, httpx2.RemoteProtocolError | httpx2.ReadError | httpx2.WriteError)
            # A server may close a kept connection in the moment in which the next request sets out on it. One that
            # closes it later than this had read the request, and may have begun to work on it.
            if broke and _SOCKET_EXTENSION not in error.request.extensions and clock() - started_at < _STALE_WITHIN_S:
                raise _StaleConnection from error
            failure = error_from_connection(error, self._endpoint)
            if http_errors.is_connection_refused(error) and not self._answered:
                # A wrong address is more likely than a restart.
                raise LikelyPermanent(str(failure), tries=3) from error
            raise failure from error
        assert isinstance(response, httpx2.Response)
        self._answered = True
        return response

    async def _chunks(self, response: "httpx2.Response") -> AsyncGenerator[bytes, None]:
        import httpx2

        try:
            # httpx2 unpacks in pieces of 1 MiB at most, so that a small packed answer cannot fill the memory.
            async for chunk in response.aiter_bytes():
                yield chunk
        except (httpx2.HTTPError, OSError) as error:
            raise error_from_connection(error, self._endpoint) from error

    def _make_client(self) -> "openai.AsyncOpenAI":
        import httpx2
        import openai

        base_url, clocks = self._settings.base_url, self._settings.clocks
        try:
            http = httpx2.AsyncClient(
                follow_redirects=False,
                trust_env=False,  # what of the environment counts is passed in below
                proxy=find_proxy(base_url, self._environ),
                verify=_tls_verification(base_url, self._environ),
                timeout=httpx2.Timeout(None, connect=clocks.connect_s),  # the rest is timed in stream.py
                limits=httpx2.Limits(max_connections=None, keepalive_expiry=_KEEP_IDLE_S),
                event_hooks={"request": [self._prepare], "response": [self._check_status]},
            )
        except (ValueError, ImportError, OSError, httpx2.InvalidURL) as error:
            text = f"The proxy or the TLS certificates that the environment names cannot be used: {error}."
            raise Refused(text, 0, exit_code=78) from error
        # The key is put on by the hook; the SDK only wants to see one.
        return openai.AsyncOpenAI(api_key="-", base_url=base_url, http_client=http, max_retries=0)

    async def _prepare(self, request: "httpx2.Request") -> None:
        """An allow-list: the SDK adds its own telemetry, and organisation, project and other headers of OPENAI_*."""
        import httpx2

        headers = {name: value for name, value in request.headers.items() if name in _TRANSPORT_HEADERS}
        headers["content-type"] = "application/json"
        headers["accept"] = "text/event-stream, application/json"
        headers["accept-encoding"] = "identity"
        headers["user-agent"] = self._user_agent
        if self._key is not None:
            headers["authorization"] = f"Bearer {self._key.value}"
        request.headers = httpx2.Headers(headers)  # to clear the old ones takes a quarter of a millisecond
        # Not the request itself: a circle with its body in it would wait for the garbage collector.
        extensions = request.extensions

        async def trace(step: str, info: Mapping[str, Any]) -> None:
            if step.endswith("connect_tcp.complete"):
                extensions[_SOCKET_EXTENSION] = info["return_value"]
            elif step.endswith("start_tls.failed") and (stream := extensions.get(_SOCKET_EXTENSION)):
                # httpcore2 forgets the socket where the handshake is cancelled: the server would not notice.
                await stream.aclose()

        extensions["trace"] = trace

    async def _check_status(self, response: "httpx2.Response") -> None:
        """Raise for an error status before the SDK would read a body of any length for it."""
        if response.is_success:
            return
        body = bytearray()
        # A body that breaks off, stalls or never ends takes nothing from what the status says.
        with contextlib.suppress(Unavailable, TimeoutError):
            timeout = asyncio.timeout(self._settings.clocks.after_finish_s)
            async with timeout, contextlib.aclosing(self._chunks(response)) as chunks:
                async for chunk in chunks:
                    body += chunk
                    if len(body) > _ERROR_BYTES:
                        break
        headers = {name.lower(): value for name, value in response.headers.items()}
        status, start = response.status_code, bytes(body[:_ERROR_BYTES])
        raise http_errors.error_from_status(status, headers, start, self._endpoint, self._now())


def preload_http_client() -> None:
    """Import what the first request needs (half a second): for a thread, while the person types."""
    import httpx2  # noqa: F401 - the import is the work
    import openai  # noqa: F401 - the import is the work


def find_proxy(base_url: str, environ: Mapping[str, str]) -> str | None:
    """The proxy that the environment names for this address; never one for loopback."""
    host, parts = profiles.parse_host(base_url), urlsplit(base_url)
    if profiles.is_loopback(host):
        return None
    if _bypasses_proxy(host, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    names = (f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY")
    proxy = next((value for name in names if (value := environ.get(name, "").strip())), None)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


def _bypasses_proxy(host: str, no_proxy: str) -> bool:
    names = [name.strip().lower().lstrip("*").lstrip(".").partition(":")[0] for name in no_proxy.split(",")]
    return no_proxy.strip() == "*" or any(name and (host == name or host.endswith(f".{name}")) for name in names)


def _tls_verification(base_url: str, environ: Mapping[str, str]) -> ssl.SSLContext | bool:
    """The certificates to trust: a person's own, or the system's."""
    if urlsplit(base_url).scheme != "https":
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # trusts nobody; reading the system's would take 20 to 50 ms
    if file := environ.get("SSL_CERT_FILE"):
        return ssl.create_default_context(cafile=file)
    if folder := environ.get("SSL_CERT_DIR"):
        return ssl.create_default_context(capath=folder)
    return True
