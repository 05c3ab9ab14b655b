"""The message of a git commit, from what the log holds: the prompt, the files, and the test evidence."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from kimi_agent.log.views import Evidence
from kimi_agent.printable import escape_path, one_line

MAX_SUBJECT_CHARS = 72
_MOST_FILES, _MOST_TESTS = 30, 10
_VERDICTS = {"not_verified": "NOT verified", "no_tests": "no tests were run", "none_needed": "no tests needed"}


@dataclass(frozen=True)
class CommitContext:
    """The origin of a commit: the prompt (or the session's title), the session's id, and the evidence, if any."""

    title: str
    session: str
    evidence: Evidence | None = None


def write_commit_message(context: CommitContext, files: Sequence[tuple[str, str]]) -> str:
    """Write the whole message; `files` are paths with "added", "changed" or "deleted"."""
    listed = [f"- {escape_path(path)}" + (f" ({how})" if how != "changed" else "") for path, how in files[:_MOST_FILES]]
    if len(files) > _MOST_FILES:
        listed.append(f"- and {len(files) - _MOST_FILES:,} more")
    trailers = [f"Kimi-Agent-Session: {one_line(context.session, instead='')}"] if context.session else []
    paragraphs = [[subject_line(context.title)], listed]
    if context.evidence is not None:
        paragraphs.append([f"Tests: {_verdict(context.evidence)}", *_fixed_tests(context.evidence)])
        trailers.append(f"Kimi-Agent-Evidence: {evidence_line(context.evidence)}")
    paragraphs.append(trailers)
    return "\n\n".join("\n".join(lines) for lines in paragraphs if lines) + "\n"


def subject_line(title: str) -> str:
    """The first line of `title` that is not blank, without markup, in at most 72 characters."""
    lines = (one_line(text, instead="") for text in title[:20_000].splitlines())
    found = next((text for text in (re.sub(r"^[#>*\-\s]+", "", line) for line in lines) if text), "")
    if len(found) > MAX_SUBJECT_CHARS:
        cut = found[: MAX_SUBJECT_CHARS - 1]
        found = (cut[: cut.rfind(" ")] if cut.rfind(" ") > MAX_SUBJECT_CHARS // 2 else cut).rstrip(" ,;:.") + "…"
    return found or "Changes by kimi-agent"


def branch_slug(title: str, fallback: str) -> str:
    """The end of a branch's name, from a title: lower-case words of ASCII, 40 characters at most."""
    folded = unicodedata.normalize("NFKD", subject_line(title)).encode("ascii", "ignore").decode().lower()
    name = ""
    for word in re.findall(r"[a-z0-9]+", folded):
        if len(name) + len(word) >= 40:
            break
        name += f"-{word}" if name else word
    return name or "".join(re.findall(r"[a-z0-9-]", fallback.lower())).strip("-")[:40] or "work"


def evidence_line(evidence: Evidence) -> str:
    """The evidence on one line: `verified, 14 passed, tree abc123`."""
    tree = [f"tree {evidence.tree[:12]}"] if evidence.tree else []
    return ", ".join([_verdict(evidence), *tree])


def _verdict(evidence: Evidence) -> str:
    return ", ".join([_VERDICTS.get(evidence.verdict, evidence.verdict), *_counts(evidence)])


def _counts(evidence: Evidence) -> list[str]:
    counts = (evidence.passed, "passed"), (evidence.failed, "failed"), (evidence.skipped, "skipped")
    words = [f"{count:,} {what}" for count, what in counts if count]
    return [*words, f"({one_line(evidence.scope, instead='')[:100]})"] if evidence.scope else words


def _fixed_tests(evidence: Evidence) -> list[str]:
    lines = [f"- {escape_path(test)}: red -> green" for test in evidence.fixed[:_MOST_TESTS]]
    more = len(evidence.fixed) - _MOST_TESTS
    return [*lines, f"- and {more:,} more: red -> green"] if more > 0 else lines
