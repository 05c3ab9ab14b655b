"""What `make bench` prints: our own costs, each beside the floor it rests on. Medians; nothing here passes or fails.

Processes are measured by the kernel's own accounting of each finished child (wall, CPU, peak memory).
"""

import argparse
import asyncio
import json
import os
import pty
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
OURS = (sys.executable, "-P", "-m", "kimi_agent")


@dataclass(frozen=True)
class Cost:
    """One process: wall and CPU seconds, peak memory in MB."""

    wall_s: float
    cpu_s: float
    rss_mb: float


def run(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, stdin: str = "", exit_code: int = 0) -> Cost:
    """Run once and account for it."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as errors:
        given.write(stdin.encode())
        given.seek(0)
        began = time.perf_counter()
        child = subprocess.Popen(argv, env=env, cwd=cwd, stdin=given, stdout=subprocess.DEVNULL, stderr=errors)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != exit_code:
            errors.seek(0)
            raise SystemExit(f"{argv} exited with {child.returncode}: {errors.read().decode()[-2000:]}")
    return Cost(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def median(argv: Sequence[str], *, runs: int, env: Mapping[str, str], cwd: Path, stdin: str = "") -> Cost:
    """The median of each figure over `runs` runs, after one to warm up."""
    run(argv, env=env, cwd=cwd, stdin=stdin)
    costs = [run(argv, env=env, cwd=cwd, stdin=stdin) for _ in range(runs)]
    return Cost(*(statistics.median(getattr(cost, name) for cost in costs) for name in ("wall_s", "cpu_s", "rss_mb")))


def row(what: str, value: str, budget: str, floor: str) -> None:
    print(f"{what:<44} {value:>26}   budget {budget:<22} floor {floor}", flush=True)


@contextmanager
def mock(tape: Path, env: Mapping[str, str], save: Path | None = None) -> Iterator[str]:
    """The mock server as a process of its own; yields its base URL."""
    argv = [*OURS, "mock", str(tape), *(["--save", str(save)] if save else [])]
    server = subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        yield server.stdout.readline().split()[-1]
    finally:
        server.terminate()
        server.wait()


def calib() -> float:
    """CPU milliseconds of one fixed piece of Python: how fast this machine is just now."""
    began = time.process_time()
    sum(hash(str(number)) & 7 for number in range(120_000))
    return (time.process_time() - began) * 1000


def starts(runs: int, env: Mapping[str, str], cwd: Path) -> None:
    bare = median([sys.executable, "-c", "pass"], runs=runs, env=env, cwd=cwd)
    floor = f"python -c pass {bare.wall_s * 1000:.0f} ms"
    for flag, budget in (("--version", "40 ms"), ("--help", "130 ms")):
        cost = median([*OURS, flag], runs=runs, env=env, cwd=cwd)
        row(flag, f"{cost.wall_s * 1000:.0f} ms wall, {cost.cpu_s * 1000:.0f} CPU", budget, floor)
    times = [first_echo(env, cwd) for _ in range(runs)]
    toolkit = median([sys.executable, "-c", "import prompt_toolkit"], runs=runs, env=env, cwd=cwd)
    row(
        "exec to a prompt that echoes a key",
        f"{statistics.median(times) * 1000:.0f} ms",
        "200 ms",
        f"import prompt_toolkit {toolkit.wall_s * 1000:.0f} ms",
    )


def first_echo(env: Mapping[str, str], cwd: Path) -> float:
    """Seconds from exec until a typed key stands on the screen."""
    began = time.perf_counter()
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execvpe(OURS[0], list(OURS), {**env, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"})
    os.write(fd, b"~")
    seen = b""
    try:
        # The terminal itself echoes until the program has it in raw mode: only what is drawn after counts.
        while not (b"\x1b[" in seen and b"~" in seen[seen.index(b"\x1b[") :]):
            if not select.select([fd], [], [], 20)[0]:
                raise SystemExit(f"no prompt within 20 s: {seen!r}")
            seen += os.read(fd, 65536)
        return time.perf_counter() - began
    finally:
        os.kill(pid, 9)
        os.close(fd)
        os.waitpid(pid, 0)


def one_shot(runs: int, env: Mapping[str, str], cwd: Path, scratch: Path) -> None:
    tape = scratch / "hello.jsonl"
    tape.write_text('{"say": "Hello.", "repeat": true}\n')
    saved = scratch / "bodies"
    with mock(tape, env, saved) as url:
        ours = median([*OURS, "-p", "hi"], runs=runs, env={**env, "KIMI_BASE_URL": url}, cwd=cwd)
    floor = median([sys.executable, "-c", "import openai"], runs=runs, env=env, cwd=cwd)
    row(
        "one shot, instant answer",
        f"{ours.cpu_s:.2f} s CPU = {ours.cpu_s / floor.cpu_s:.2f} x, {ours.wall_s:.2f} s wall",
        "1.3 x import openai",
        f"import openai {floor.cpu_s:.2f} s CPU",
    )
    row("one shot, peak memory", f"{ours.rss_mb:.0f} MB", "85 MB", f"import openai {floor.rss_mb:.0f} MB")
    first = sorted(saved.iterdir())[0]
    row("first request, tools and all", f"{first.stat().st_size / 1000:.1f} kB", "10 kB", "-")


BARE_LOOP = """
import http.client, json, sys, time, urllib.parse
asked = []
url = urllib.parse.urlsplit(sys.argv[1]); steps = int(sys.argv[2])
link = http.client.HTTPConnection(url.hostname, url.port)
messages = [{"role": "user", "content": "go"}]
for step in range(steps + 1):
    body = json.dumps({"model": "kimi-k2.6", "stream": True, "prompt_cache_key": "bare", "messages": messages})
    asked.append(time.time())
    link.request("POST", url.path + "/chat/completions", body, {"Content-Type": "application/json"})
    text, reason, name, call, args = "", "", "", "", ""
    for line in link.getresponse().read().split(b"\\n"):
        if line.startswith(b"data: {"):
            for choice in json.loads(line[6:])["choices"]:
                delta = choice["delta"]
                text += delta.get("content") or ""
                reason += delta.get("reasoning_content") or ""
                for each in delta.get("tool_calls") or ():
                    call = call or each.get("id", ""); name = name or each["function"].get("name", "")
                    args += each["function"].get("arguments", "")
    answer = {"role": "assistant", "reasoning_content": reason}
    if text: answer["content"] = text
    if call:
        answer["tool_calls"] = [{"id": call, "type": "function", "function": {"name": name, "arguments": args}}]
        messages += [answer, {"role": "tool", "tool_call_id": call, "content": open("big.txt").read(300)}]
json.dump(asked, open("asked.json", "w"))
"""


def steps(env: Mapping[str, str], cwd: Path, scratch: Path, count: int) -> None:
    """A turn of `count` steps, each a file read of 300 bytes; times are taken from the session's own log."""
    (cwd / "big.txt").write_text("".join(f"line {number:06d} of the file\n" for number in range(1, count * 12 + 13)))
    lines = [
        {
            "reason": "Next.",
            "calls": [{"name": "read_file", "args": {"path": "big.txt", "offset": n * 12 + 1, "limit": 12}}],
        }
        for n in range(count)
    ]
    tape = scratch / "steps.jsonl"
    tape.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"say": "Done."}]))
    with mock(tape, env) as url:
        bare = run([sys.executable, "-c", BARE_LOOP, url, str(count)], env=env, cwd=cwd)
        floor = growth(json.loads((cwd / "asked.json").read_text()))
    with mock(tape, env) as url:
        with_url = {**env, "KIMI_BASE_URL": url}
        none = run([*OURS, "-p", "go", "-q", "--max-steps", "1"], env=with_url, cwd=cwd, exit_code=53)
        some = run([*OURS, "-p", "go", "-q", "--max-steps", str(count // 4)], env=with_url, cwd=cwd, exit_code=53)
        ours = run([*OURS, "-p", "go", "-q"], env=with_url, cwd=cwd)
    log = max(Path(env["KIMI_AGENT_HOME"]).rglob("main.jsonl"), key=lambda path: path.stat().st_size)
    asked, own = read_log(log)
    early = (some.cpu_s - none.cpu_s) / (count // 4 - 1)
    late = (ours.cpu_s - some.cpu_s) / (count - count // 4)
    period = statistics.median(after - before for before, after in pairwise(asked))
    row(
        f"step of {count}, the mock's part included",
        f"{period * 1000:.1f} ms",
        "-",
        f"bare {bare.wall_s / count * 1000:.1f} ms",
    )
    row("  last tenth / first tenth", f"{growth(asked):.2f}", "1.3", f"bare loop {floor:.2f} (the mock grows)")
    row("  own CPU a step: first quarter / the rest", f"{early * 1000:.1f} / {late * 1000:.1f} ms", "flat", "-")
    row("  from an answer to the next request", f"{statistics.median(own) * 1000:.2f} ms", "4 ms", "-")
    row(
        "  whole run", f"{ours.cpu_s:.2f} s CPU, {ours.rss_mb:.0f} MB", "3 s CPU, 90 MB", f"bare {bare.cpu_s:.2f} s CPU"
    )
    row("  session file", f"{log.stat().st_size / 1000:.0f} kB", "800 kB", "-")


def faulty(scratch: Path, count: int) -> None:
    """Steps through the mock server in this process, 2 % of them broken, in a window that fills up again and again."""
    from tests.long_run import play

    (scratch / "faulty").mkdir()
    played = asyncio.run(play(scratch / "faulty", count))
    tenth = count // 10
    first, last = (statistics.median(played.took[part]) for part in (slice(tenth, 2 * tenth), slice(-tenth, None)))
    told = f"{played.retries} retries, {played.compactions} compactions"
    row(f"{count:,} steps with faults ({told})", f"{last * 1000:.1f} ms CPU a step", "-", "the mock's share included")
    row("  last tenth / second tenth", f"{last / first:.2f}", "1.3", "-")
    grown = (played.resident[-1] - played.resident[2 * tenth]) / 1e6
    row(
        "  memory in use, and grown since the second tenth",
        f"{played.resident[-1] / 1e6:.0f} MB, {grown:+.0f} MB",
        "flat",
        "-",
    )


def growth(asked: Sequence[float]) -> float:
    """The median time between requests in the last tenth over that in the first."""
    periods = [after - before for before, after in pairwise(asked)]
    tenth = max(1, len(periods) // 10)
    return statistics.median(periods[-tenth:]) / statistics.median(periods[:tenth])


def read_log(log: Path) -> tuple[list[float], list[float]]:
    """When each request of a session went out, and the seconds from each answer to the next request."""
    asked, own, said_at = [], [], 0.0
    for line in log.read_text().splitlines():
        record = json.loads(line)
        if record["event"]["type"] == "Requested":
            asked.append(record["at"])
            own += [record["at"] - said_at] if said_at else []
        elif record["event"]["type"] == "Said":
            said_at = record["at"]
    return asked, own


RENDER = """
import os, sys, time
from kimi_agent.faces.theme import choose_theme
from kimi_agent.faces.render.markdown_stream import MarkdownStream
words = int(sys.argv[1])
block = ("## A heading\\n\\nSome *words* of prose with `code` in them, and a list:\\n\\n- one item\\n- another\\n\\n"
         "```python\\ndef f(x):\\n    return x + 1  # a comment\\n```\\n\\n")
text = (block * (words * 4 // len(block) + 1))[: words * 4]
stream = MarkdownStream(choose_theme({"TERM": "xterm-256color"}, "utf-8"), lambda: 100)
stream.feed("warm *up*\\n\\n")
began, written = time.process_time(), 0
for at in range(0, len(text), 4):
    for block in stream.feed(text[at : at + 4]):
        written += sum(len(row.encode()) + 1 for row in block.rows)
for block in stream.finish():
    written += sum(len(row.encode()) + 1 for row in block.rows)
print(time.process_time() - began, written / len(text.encode()))
"""


def render(env: Mapping[str, str], cwd: Path) -> None:
    """Streaming markdown, a token of four characters at a time, to rows."""
    for tokens, budget in ((20_000, "1.4 s"), (100_000, "7 s")):
        argv = [sys.executable, "-P", "-c", RENDER, str(tokens)]
        done = subprocess.run(argv, env=env, cwd=cwd, check=True, capture_output=True, text=True)
        cpu_s, ratio = map(float, done.stdout.split())
        row(f"render {tokens:,} tokens", f"{cpu_s:.2f} s CPU, {ratio:.2f} B/B", f"{budget}, 2 B/B", "-")


def idle(env: Mapping[str, str], cwd: Path, seconds: float = 10.0) -> None:
    """What an idle prompt costs, once everything is loaded behind it."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.execvpe(OURS[0], list(OURS), {**env, "TERM": "xterm-256color", "PROMPT_TOOLKIT_NO_CPR": "1"})
    try:
        while select.select([fd], [], [], 4)[0]:  # until it is silent
            os.read(fd, 65536)
        before = cpu_ticks(pid)
        seen = 0
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([fd], [], [], left)[0]:
                seen += len(os.read(fd, 65536))
        share = (cpu_ticks(pid) - before) / os.sysconf("SC_CLK_TCK") / seconds
        rss = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS"))
        row(
            f"idle, {seconds:.0f} s",
            f"{seen} bytes, {share:.1%} CPU, {int(rss.split()[1]) // 1024} MB",
            "0, < 0.1 %",
            "-",
        )
    finally:
        os.kill(pid, 9)
        os.close(fd)
        os.waitpid(pid, 0)


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def installed() -> None:
    import re
    from importlib.metadata import distributions, requires

    wanted, queue = {"kimi-agent"}, ["kimi-agent"]
    while queue:
        for line in requires(queue.pop()) or ():
            name = re.split(r"[ ;<>=!\[~(]", line)[0].lower().replace("_", "-")
            if "extra ==" not in line and name not in wanted:
                try:
                    requires(name)
                except Exception:
                    continue
                wanted.add(name)
                queue.append(name)
    files = (
        Path(str(path.locate()))
        for each in distributions()
        if each.metadata["Name"].lower().replace("_", "-") in wanted
        for path in each.files or ()
    )
    size = sum(path.stat().st_size for path in files if path.is_file())
    row("install", f"{size / 1e6:.0f} MB, {len(wanted)} distributions", "100 MB, 36", "-")


def main() -> None:
    from tests.bench.detection_bench import detections
    from tests.bench.edit_bench import edits
    from tests.bench.snapshot_bench import snapshots
    from tests.bench.wire_bench import wire

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        work = scratch / "work"
        work.mkdir()
        env = {
            **{
                key: value
                for key, value in os.environ.items()
                if not key.startswith(("KIMI_", "MOONSHOT_", "OPENAI_", "PYTHON"))
            },
            "KIMI_AGENT_HOME": str(scratch / "home"),
            "KIMI_API_KEY": "sk-bench",
            "PYTHONPATH": str(ROOT),
        }
        print(f"calib {statistics.median(calib() for _ in range(5)):.0f} ms CPU; Python {sys.version.split()[0]}")
        starts(given.runs, env, work)
        one_shot(given.runs, env, work, scratch)
        steps(env, work, scratch, given.steps)
        faulty(scratch, given.steps)
        wire(row, given.runs)
        render(env, work)
        edits(row, given.runs)
        detections(row, scratch, given.runs)
        idle(env, work)
        snapshots(row, env, scratch, given.runs)
        installed()


if __name__ == "__main__":
    main()
