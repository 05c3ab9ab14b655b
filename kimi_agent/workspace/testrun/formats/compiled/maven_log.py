"""Maven log parser: what Maven itself says of its tests (3.8, surefire 3.2), to hold its reports against."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from kimi_agent.workspace.testrun.reports.failure_excerpt import first_nonblank_line, strip_escapes

# The sum behind "Results:"; the line of each class goes on with its time.
_COUNTED = re.compile(r"\[\w+\] Tests run: (\d+), Failures: \d+, Errors: \d+, Skipped: \d+(?:, Flakes: \d+)?$")
_FLAKES, _RESULTS = re.compile(r"\[\w+\] Flakes: ?$"), re.compile(r"\[\w+\] Results: ?$")
_METHOD = re.compile(r"\[WARNING\] (?P<method>[\w.$]+)(?:\(.*\))?$")
_BROKE_OFF = re.compile(
    r"\[ERROR\] (?:COMPILATION ERROR|.*(?:The forked VM terminated|There was a timeout in the fork|crashed)"
    r"|Failed to execute goal \S*(?:compiler|kotlin|scala|groovy|gmaven)\S*)"
)
_LEFT_OUT = re.compile(r"\[INFO\] \S.* \.* ?SKIPPED(?: \[.*\])?$")
_SKIPPED_TESTS = re.compile(
    r"\[INFO\] Tests are skipped\.$|\[INFO\] Not (?:compiling|copying) test (?:sources|resources)$"
)


@dataclass
class MavenLog:
    """`counted` is how many tests Maven ran; `flaky` the methods ("com.x.ATest.adds") that passed when run again.

    `broke_off` says that not all tests ran: a module does not compile or was left out, a test program crashed.
    `skipped_tests` is the line that says that tests are switched off.
    """

    began: bool = False
    succeeded: bool = False
    counted: int = 0
    flaky: set[str] = field(default_factory=set)
    broke_off: bool = False
    skipped_tests: str = ""


def parse_maven_log(lines: Iterable[str]) -> MavenLog:
    """What a run printed; with `-q` Maven prints errors only."""
    log = MavenLog()
    in_results = in_flakes = False
    for raw in lines:
        line = strip_escapes(raw).rstrip()
        if _RESULTS.match(line):
            in_results = True
        elif in_results and _FLAKES.match(line):
            in_flakes = True
        elif in_results and (counted := _COUNTED.match(line)):
            log.counted += int(counted[1])
            in_results = in_flakes = False
        elif in_flakes and (method := _METHOD.match(line)):
            log.flaky.add(method["method"])
        elif _BROKE_OFF.match(line) or _LEFT_OUT.match(line):
            log.broke_off = True
        log.began = log.began or line == "[INFO] Scanning for projects..."
        log.succeeded = log.succeeded or line == "[INFO] BUILD SUCCESS"
        if not log.skipped_tests and _SKIPPED_TESTS.match(line):
            log.skipped_tests = first_nonblank_line(line.removeprefix("[INFO] "))
    return log
