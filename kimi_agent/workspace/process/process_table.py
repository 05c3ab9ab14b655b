"""The process table of this machine, read from /proc, or from `ps` where there is none."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from kimi_agent.workspace.process.environ import RUN_MARK

_MARK = re.compile(rf"(?:^|\s){RUN_MARK}=(\S+)")


@dataclass(frozen=True)
class ProcessInfo:
    """One process; `start` is in clock ticks since boot and 0 where unknown, `sid` is the group where `ps` is asked."""

    pid: int
    ppid: int
    sid: int
    start: int
    zombie: bool


def has_proc() -> bool:
    """Whether this system lists processes in /proc."""
    return Path("/proc/self/stat").exists()


def read_process_table() -> dict[int, ProcessInfo]:
    """Every process that can be seen, by pid."""
    if not has_proc():
        done = subprocess.run(["/bin/ps", "-A", "-o", "pid=,ppid=,pgid=,stat="], capture_output=True, check=False)
        return parse_ps_output(done.stdout.decode("ascii", "replace"))
    # This runs after every shell call: plain descriptors take a third of the time of Path objects.
    with os.scandir("/proc") as folders:
        found = [read_process(int(folder.name)) for folder in folders if folder.name.isdigit()]
    return {each.pid: each for each in found if each is not None}


def parse_ps_output(listing: str) -> dict[int, ProcessInfo]:
    """The output of `ps -o pid=,ppid=,pgid=,stat=` as a table; other lines are passed over."""
    table: dict[int, ProcessInfo] = {}
    for line in listing.splitlines():
        words = line.split()
        if len(words) == 4 and all(word.isdigit() for word in words[:3]):
            pid, ppid, group = map(int, words[:3])
            table[pid] = ProcessInfo(pid, ppid, group, 0, words[3].startswith("Z"))
    return table


def read_process(pid: int) -> ProcessInfo | None:
    """One process of /proc, or None if it is not there."""
    try:
        fd = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            stat = os.read(fd, 4_096)
        finally:
            os.close(fd)
    except OSError:
        return None
    # The name, in parentheses, may hold blanks and parentheses itself.
    words = stat.rpartition(b")")[2].split()
    return ProcessInfo(pid, int(words[1]), int(words[3]), int(words[19]), words[0] in (b"Z", b"X"))


def run_marks(pid: int) -> tuple[str, ...]:
    """The runs that a process belongs to by the mark in its environment; () where it has none or cannot be read."""
    if has_proc():
        try:
            entries = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        except OSError:
            return ()
        name = RUN_MARK.encode() + b"="
        values = [entry[len(name) :].decode("ascii", "replace") for entry in entries if entry.startswith(name)]
    else:
        command = ["/bin/ps", "-E", "-ww", "-o", "command=", "-p", str(pid)]
        done = subprocess.run(command, capture_output=True, check=False)
        values = _MARK.findall(done.stdout.decode("utf-8", "replace"))
    return tuple(values[0].split("/")) if values else ()


def machine_id() -> str:
    """The id of this boot and this namespace of pids: a pid means the same process only while it is equal."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return os.uname().nodename
