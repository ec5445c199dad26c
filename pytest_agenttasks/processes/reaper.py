"""The helper process of `supervisor.py`: runs one program at a time and ends everything that comes of it.

A script under `python -I -S`: it imports a little of the standard library and two modules beside it, so it is
there in a few hundredths of a second and nothing in the environment reaches into it. One JSON object a line
goes either way over the socket that it inherits.

On Linux it is a *child subreaper*: a process whose parent has died becomes its child, however it detached
itself, and `waitpid` says for certain when nothing is left. Elsewhere it ends the program's process group,
and the runner looks for the rest (`orphans.Watch`).

It lives in a session of its own and ignores what a terminal sends. It ends when the runner closes the socket
or is gone, and ends the program first.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import sys
import time

TYPE_CHECKING = False
if __name__ == "__main__":  # last on the path: whatever lies beside the package shadows nothing
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))  # noqa: PTH100, PTH120
if TYPE_CHECKING:  # typing alone would cost a tenth of the start
    from collections.abc import Sequence
    from typing import Any

from pytest_agenttasks.processes import launch, lineage  # noqa: E402

TICK = 0.25  # seconds between two looks at the output's size; also the sign of life for the runner
SWEEP = 10.0  # seconds after which what cannot be killed is reported
NAMES = 20
LOOKS = 50  # in a row, while each finds somebody running
CORPSES = 5000  # collected in a row, while an endless forker makes more


class Reaper:
    """The event loop: the socket, the children's deaths, the clock."""

    def __init__(self, control: int, runner: int) -> None:
        self._control = control
        self._inbox: list[dict[str, Any]] = []
        self._partial = b""
        self._program = 0
        self._disk: tuple[str, int] | None = None  # a folder, and the bytes that must stay free there
        self._doors: Sequence[str] = ()  # of the program's cgroups
        self._wrapped = False  # a sandbox around the program was started, and leads a session of its own
        self._status: int | None = None  # of the program, once it ended
        os.set_inheritable(control, False)
        os.set_blocking(control, False)
        self._deaths, wake = os.pipe()
        for end in (self._deaths, wake):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Besides the socket, since a forked copy of the runner can hold that open after the runner's death.
        self._runner = _watch(runner)
        self._poll = _polling(control, self._deaths, self._runner)
        self._gone = os.getppid() != runner

    def serve(self) -> None:
        """Run what is asked for until the runner is gone, then end all that is left."""
        try:
            while not self._gone:
                left = self._reap()  # something only if a sweep gave up
                if not self._inbox:
                    self._wait(1.0 if left else None)
                    if left:
                        self._cull()
                elif "argv" in (request := self._inbox.pop(0)):
                    self._run(request)
        finally:  # also when this program is wrong
            _, stuck = self.sweep()
            if stuck:
                self._linger(stuck)
            for door in self._doors:  # the runner, which does this, is gone or was cut short
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.dirname(door.encode("latin-1")))  # noqa: PTH106, PTH120

    def _linger(self, stuck: list[str]) -> None:
        """Tell the runner, if there is one, to wait no longer; stay, for these have nobody else."""
        with contextlib.suppress(BrokenPipeError):
            os.write(2, f"could not be killed yet: {', '.join(stuck)}\n".encode())
        os.close(2)
        os.close(self._control)
        while self._reap():
            self._cull()
            self._wait(1.0)

    def _run(self, request: dict[str, Any]) -> None:
        try:
            handles = launch.open_files(request["stdin"], request["stdout"], request["stderr"])
            try:
                self._supervise(request, handles)
            finally:
                launch.close_all(handles)
        except launch.Refused as refused:
            self._send({"refused": [refused.step, refused.errno, refused.reason]})
        if not self._gone:  # else the last sweep has yet to come
            self._program = 0  # its number may be another's from now on

    def _supervise(self, request: dict[str, Any], handles: Sequence[int]) -> None:
        began = time.monotonic()
        self._status = None
        self._doors = request["doors"]
        self._program, report = launch.fork(
            request["argv"], request["cwd"], request["env"], handles, request["caps"], request["oom_score"],
            self._doors,
        )  # fmt: skip
        process = lineage.look_up(self._program) if lineage.LINUX else None
        # At once, for whoever kills this process must not leave the program nameless.
        self._send({"forked": self._program, "ticks": process and process.start})
        try:
            launch.await_exec(report)
        except launch.Refused:
            os.waitpid(self._program, 0)
            raise
        self._send({"running": True})
        outputs, limit = handles[1:], request["max_output"]
        self._wrapped = request["wrapped"]
        self._disk = request["disk"]
        stopped = self._hold(began, request["timeout"], request["grace"], outputs, limit)
        if self._gone:
            return
        seconds = time.monotonic() - began
        survivors, stuck = self.sweep()
        if limit is not None and launch.total_size(outputs) > limit:
            stopped = stopped or "output"
            launch.cut(outputs, limit)
        code = None if self._status is None else os.waitstatus_to_exitcode(self._status)
        self._send(
            {"code": code, "seconds": seconds, "stopped": stopped, "survivors": survivors, "stuck": stuck}
        )

    def _hold(
        self, began: float, timeout: float | None, grace: float, outputs: Sequence[int], limit: int | None
    ) -> str | None:
        """Wait until the program ended, or its time to end by itself is over; return why it was stopped."""
        stopped: str | None = None
        tick = began + TICK
        end = float("inf") if timeout is None else began + timeout
        while self._status is None and not self._gone:
            now = time.monotonic()
            reasons = [message["stop"] for message in self._inbox if "stop" in message]
            self._inbox.clear()
            if now >= tick:
                tick = now + TICK
                self._beat()
                if limit is not None and launch.total_size(outputs) > limit:
                    return stopped or "output"  # without grace: in that time it could fill the disk
                if self._disk is not None and _is_full(*self._disk):
                    return stopped or "disk"
            if now >= end:
                reasons.append("timeout")
                if stopped is not None:
                    return stopped
            if reasons and stopped is None:
                stopped = reasons[0]
                lineage.send(os.killpg, self._leader(), signal.SIGTERM)
                end = now + grace
            self._wait(max(0.0, min(tick, end) - now))
            self._reap()
        return stopped

    def _leader(self) -> int:
        """Whose process group hears the request to end: the program's; of a sandbox, that of the first process in
        it, for the sandbox itself would only die, and all in it at once."""
        inner = lineage.only_child(self._program) if self._wrapped and lineage.LINUX else None
        return self._program if inner is None else inner

    def sweep(self) -> tuple[list[str], list[str]]:
        """End every descendant; return the names of those that outlived the program, and of the immortal."""
        survivors: list[str] = []
        until = time.monotonic() + SWEEP
        if not lineage.LINUX:
            self._cull()  # the group outlives its leader, and is not ours to collect
        while self._reap():
            alive = self._cull()
            survivors = survivors or [p.name for p in alive if p.pid != self._program][:NAMES]
            if time.monotonic() > until:
                return survivors, [p.name for p in alive][:NAMES] or ["(not to be seen)"]
            self._wait(0.05)
        return survivors, []

    def _cull(self) -> list[lineage.Process]:
        """Kill all descendants that can be found now; return them."""
        if not lineage.LINUX:
            if self._program:
                lineage.send(os.killpg, self._program, signal.SIGKILL)
            return []
        family = lineage.Family()
        for _ in range(LOOKS):
            if not family.freeze():
                break
        family.kill()
        return [p for p in family.members.values() if not p.zombie]

    def _reap(self) -> bool:
        """Collect the dead; whether any child is left."""
        for _ in range(CORPSES):
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            if pid == self._program:
                self._status = status
        return True

    def _wait(self, seconds: float | None) -> None:
        """Until something happens; takes in what the runner sent."""
        # Rounded up, for a wait that ended early would spin until its time has come.
        for handle, _ in self._poll.poll(None if seconds is None else int(seconds * 1000) + 1):
            if handle == self._deaths:
                os.read(self._deaths, 4096)
            elif handle == self._runner or not self._receive():
                self._gone = True
        if self._gone:  # that stays readable for ever
            self._poll = _polling(self._deaths)

    def _receive(self) -> bool:
        """Whether the runner's end is still open."""
        try:
            data = os.read(self._control, 1 << 16)
        except ConnectionResetError:
            return False
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._inbox.extend(json.loads(line) for line in lines)
        return bool(data)

    def _send(self, message: dict[str, Any]) -> None:
        data = json.dumps(message).encode() + b"\n"
        while data and not self._gone:
            try:
                data = data[os.write(self._control, data) :]
            except BlockingIOError:  # the runner is busy elsewhere, or stopped
                room = _polling(self._runner)
                room.register(self._control, select.POLLOUT)
                self._gone = any(handle == self._runner for handle, _ in room.poll())
            except (BrokenPipeError, ConnectionResetError):
                self._gone = True

    def _beat(self) -> None:
        try:
            os.write(self._control, b"{}\n")
        except BlockingIOError:
            pass  # the runner has enough of them unread
        except (BrokenPipeError, ConnectionResetError):
            self._gone = True


def _is_full(folder: str, least: int) -> bool:
    try:
        found = os.statvfs(folder.encode("latin-1"))
    except OSError:  # the program has taken the folder away
        return False
    return found.f_bavail * found.f_frsize < least


def _polling(*handles: int | None) -> select.poll:
    poll = select.poll()
    for handle in handles:
        if handle is not None:
            poll.register(handle, select.POLLIN)
    return poll


def _watch(runner: int) -> int | None:
    """A handle that becomes readable when the runner dies, where there is such a thing."""
    try:
        return os.pidfd_open(runner)
    except (AttributeError, OSError):  # macOS; a kernel before 5.3, or a filter
        return None


def _adopt_orphans() -> None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(36, 1, 0, 0, 0) != 0:  # PR_SET_CHILD_SUBREAPER
        number = ctypes.get_errno()
        raise OSError(number, f"prctl(PR_SET_CHILD_SUBREAPER): {os.strerror(number)}")


def main(control: int, runner: int) -> None:
    """Serve the process `runner` over the inherited socket `control`."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if lineage.LINUX:
        _adopt_orphans()
    Reaper(control, runner).serve()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
