"""The folder of one test run: its report and extra files, and the lines that its process printed."""

import contextlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from kimi_agent.workspace.files.files import Files
from kimi_agent.workspace.process.process_runner import ProcessResult
from kimi_agent.workspace.testrun.commands_and_reports import TestCommand
from kimi_agent.workspace.testrun.reports.failure_excerpt import strip_escapes

MAX_READ_LINE_BYTES = 10_000


def prepare_report_folder(place: Path, command: TestCommand) -> None:
    """Make an empty folder for the report and its extra files: nothing of an earlier run is read again."""
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(place)
    place.mkdir()
    for name, text in command.extra_files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text, "utf-8")


class PrintedLines:
    """The lines that a process printed, as often as they are asked for; long ones are cut."""

    def __init__(self, files: Files, finished: ProcessResult) -> None:
        self._files = files
        self._finished = finished

    def __iter__(self) -> Iterator[str]:
        if not self._finished.output:
            yield from self._finished.text.split("\n")
            return
        with self._files.open(self._finished.output) as log:
            while line := log.readline(MAX_READ_LINE_BYTES):
                yield line.decode("utf-8", "replace").rstrip("\r\n")


def make_progress_callback(
    progress: Callable[[str], None], show_line: Callable[[str], str], count: str
) -> Callable[[str], None]:
    """What is called with each piece of output: its last line goes to `progress`, behind `count`."""

    def report(text: str) -> None:
        last = next((line.strip() for line in reversed(strip_escapes(text).split("\n")) if line.strip()), "")
        if last := strip_escapes(show_line(last)).strip():
            progress(f"{count}{last[:160]}")

    return report
