"""The child processes of a runner: started with a mark, killed as trees, and registered on disk while they live."""

import asyncio
import contextlib
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from kimi_agent.errors import ToolError
from kimi_agent.workspace.process import process_tree
from kimi_agent.workspace.process.child_process import Child, Pipe
from kimi_agent.workspace.process.environ import RUN_MARK
from kimi_agent.workspace.process.launch import launch_process

_GRACE_S = 2.0
_KILL_S = 0.15
_DEATH_S = 10.0


class Children:
    """The children that run, that left something running in the background, or that are dying."""

    def __init__(self, register: Path, *, outer: str) -> None:
        self._register = process_tree.RunRegister(register)
        self._outer = outer  # runs within runs (an agent that runs an agent) are found by the outer one too
        self._live: list[Child] = []
        self._dying: list[Child] = []

    def start(
        self, argv: Sequence[str], cwd: Path, env: Mapping[str, str], pipes: tuple[Pipe, ...], fds: Sequence[int] = ()
    ) -> Child:
        """Start and register a child: stdout goes to the first of `pipes`, stderr to the last; it inherits `fds`."""
        tree = process_tree.ProcessTree()
        env = {**env, RUN_MARK: f"{self._outer}/{tree.mark}" if self._outer else tree.mark}
        out, err = pipes[0].write_end, pipes[-1].write_end
        process_tree.adopt_orphans()
        # Before it starts: if we are killed (kill -9) right after, the mark must be on disk.
        self._register.note(tree)
        try:
            process = launch_process(argv, cwd=cwd, env=env, stdout=out, stderr=err, inherit=fds)
        except BaseException:
            self._register.drop(tree)
            for pipe in pipes:
                pipe.close()
            raise
        tree.begun(process.pid)
        self._register.note(tree)
        for pipe in pipes:
            pipe.close_write_end()
        child = Child(process, tree, pipes)
        self._live.append(child)
        return child

    async def terminate(self, child: Child) -> None:
        """Send SIGTERM to the tree, and give it two seconds to end."""
        end = asyncio.get_running_loop().time() + _GRACE_S
        process_tree.send_signal([child.tree], signal.SIGTERM)
        while process_tree.find_live_processes([child.tree]) or child.process.poll() is None:
            if asyncio.get_running_loop().time() > end:
                return
            await asyncio.sleep(0.03)

    def kill(self, child: Child) -> bool:
        """Kill a tree at once; True if it is dead: that takes milliseconds, unless the kernel holds one back."""
        return not process_tree.kill_trees([child.tree], within_s=_KILL_S) and child.process.poll() is not None

    def end(self, child: Child) -> None:
        """Kill a tree and release it. What does not die at once delays the next start (`wait_until_dead`)."""
        child.release()
        if self.kill(child):
            self.forget(child)
        else:
            self._live.remove(child)
            self._dying.append(child)

    def describe_background(self, child: Child) -> str:
        """Forget an exited child; gives a sentence about what it left running, "" for nothing."""
        for other in list(self._live):
            if other.process.poll() is not None and not process_tree.find_live_processes([other.tree]):
                self.forget(other)
        if child not in self._live:
            return ""
        for pipe in child.pipes:
            pipe.drain()
        pids = ", ".join(map(str, sorted(process_tree.find_live_processes([child.tree]))))
        where = "in the background until this session ends"
        return f"still running {where}: pid {pids} (what it prints from now on is lost)"

    def forget(self, child: Child) -> None:
        """Let go of a child that left nothing behind."""
        child.release()
        self._register.drop(child.tree)
        for children in (self._live, self._dying):
            if child in children:
                children.remove(child)

    async def wait_until_dead(self) -> None:
        """Wait until every interrupted tree is dead. Raises ToolError where one will not die."""
        now = asyncio.get_running_loop().time
        end = now() + _DEATH_S
        while self._dying:
            left = process_tree.send_signal([child.tree for child in self._dying], signal.SIGKILL)
            ended = [child.process.poll() is not None for child in self._dying]
            if not left and all(ended):
                for child in list(self._dying):
                    self.forget(child)
            elif now() > end:
                text = f"processes of an interrupted command do not die (pid {', '.join(map(str, sorted(left)))})"
                raise ToolError("failed", text, "tell the user")
            else:
                await asyncio.sleep(0.02)

    def kill_all(self) -> None:
        """Kill every tree and wait until it is dead, a second at most. For signal handlers and the exit too."""
        children = [*self._live, *self._dying]
        if not children or process_tree.kill_trees([child.tree for child in children], within_s=1.0):
            return
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(0.5)
                self._register.drop(child.tree)

    def close(self) -> None:
        """End all that still runs, and take it off the event loop."""
        self.kill_all()
        for child in [*self._live, *self._dying]:
            child.release()
        self._live.clear()
        self._dying.clear()
