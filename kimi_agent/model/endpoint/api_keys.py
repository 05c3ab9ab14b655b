"""API key lookup: from an environment variable, or a command that prints it. The key is never shown."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field

from kimi_agent.errors import UserError
from kimi_agent.model.endpoint.profiles import ModelSettings, find_profile
from kimi_agent.printable import one_line


@dataclass(frozen=True)
class ApiKey:
    """A key and where it was found; `str(key)` names the source and at most its last four characters."""

    value: str = field(repr=False)
    source: str

    def __str__(self) -> str:
        return f"{self.source} (…{self.value[-4:]})" if len(self.value) > 12 else self.source


def find_api_key(settings: ModelSettings, environ: Mapping[str, str], *, timeout_s: float = 10.0) -> ApiKey | None:
    """The key to send: from `key_env`, KIMI_API_KEY, MOONSHOT_API_KEY or `key_command`, in this order.

    None where none is set and the endpoint needs none (loopback). Raises UserError (78) where one is needed, where
    `key_command` fails or takes longer than `timeout_s`, and where a key holds what no key can hold.
    """
    for name in (settings.key_env, "KIMI_API_KEY", "MOONSHOT_API_KEY"):
        if value := environ.get(name, "").strip() if name else "":
            return _check_key(ApiKey(value, name))
    if settings.key_command:
        return _check_key(ApiKey(_run_key_command(settings.key_command, environ, timeout_s), "key_command"))
    if not find_profile(settings.base_url).needs_key:
        return None
    raise UserError(
        f"No API key for {settings.base_url}. Set KIMI_API_KEY to a key from https://platform.moonshot.ai/console, "
        "or set KIMI_BASE_URL to another OpenAI-compatible endpoint, or see it at work without one: kimi-agent demo",
        78,
    )


def _check_key(key: ApiKey) -> ApiKey:
    if not (key.value.isascii() and key.value.isprintable() and " " not in key.value):
        raise UserError(f"The key from {key.source} holds spaces or characters that no key has; set it again.", 78)
    return key


def _run_key_command(command: str, environ: Mapping[str, str], timeout_s: float) -> str:
    """What `command` prints. Not a group of its own: it may have to ask for a passphrase on the terminal."""
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environ),
        encoding="utf-8",
        errors="replace",
    )
    try:
        out, complaint = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"key_command did not end within {timeout_s:g} s; run it by hand.", 78) from error
    finally:
        # Its own children may hold the pipes open: they are closed, not read to their end.
        process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()
    if process.returncode != 0 or not out.strip():
        words = one_line(complaint)[:200]
        ended = f"failed (exit {process.returncode})" if process.returncode else "printed nothing"
        raise UserError(f"key_command {ended}{f': {words}' if words else ''}; run it by hand.", 78)
    return out.strip()
