"""`agenttasks watch`: `agenttasks run`, in a fresh process, whenever the queue has tasks that could run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path

from filelock import FileLock, Timeout

from .. import approvals, pause
from ..history import History
from ..integration.limits import past
from ..journal import Journal
from ..last_run import key, last_run
from ..outcome import SetupError
from ..queue import Queue, open_queue
from ..report.printable import one_line
from ..runs import going_on
from ..settings.durations import format_duration, parse_duration
from ..settings.loading import load
from ..settings.records import FILE_NAME
from ..trees.repository import Repository, discover
from ..watching import Course, End, Seen, Step, Wait, could_run, look
from . import spent
from .new import DEFAULT_QUEUE
from .run import named_queue
from .signals import Signals
from .systemd_unit import unit
from .told_once import ToldOnce

PERIOD = 5.0
"""Seconds between two looks at the queue."""

HELP = """usage: agenttasks watch [--every T] [PYTEST ARGS]
       agenttasks watch --unit [--every T] [PYTEST ARGS]

run the queue, in a fresh process (`agenttasks run PYTEST ARGS`), whenever it holds tasks that could run

  --every T   how often to look (default: 5s); after an error it waits 12 times as long, doubling, up to 720 times
  --unit      print a systemd user unit that does this, and how to install it

It waits for `agenttasks approve` after a stop for a review, for the service after a usage limit or an outage, and ends
when it is past --agent-until. Ctrl-C or SIGTERM has the run end its agents, and waits for that; the second one kills.
"""


def run(arguments: Sequence[str]) -> int:
    """Watch until a signal, or until nothing may be handed out any more: exit status 2. Raises SetupError."""
    options, passed_on = own_options(arguments)
    if "-h" in options or "--help" in options:
        print(HELP, end="")
        return 0
    try:
        period = float(parse_duration(options.get("--every", PERIOD)))
    except ValueError as error:
        raise SetupError(f"--every: {error}") from error
    if not period:
        raise SetupError("--every: it has to be more than 0")
    cwd = Path.cwd()
    repository = discover(cwd)
    named = named_queue(passed_on)
    queue = open_queue(repository, repository.top / DEFAULT_QUEUE if named is None else cwd / named)
    if "--unit" in options:
        every = ["--every", options["--every"]] if "--every" in options else []
        print(unit(cwd, [*every, *passed_on], os.environ.get("PATH", os.defpath), queue.pending))
        return 0
    with _only_one(repository, queue):
        return Watch(repository, queue, passed_on, period).go_on()


def own_options(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """This verb's own options with their values, and what is pytest's. Raises SetupError."""
    own: dict[str, str] = {}
    others: list[str] = []
    left = iter(arguments)
    for argument in left:
        name, equals, value = argument.partition("=")
        if argument == "--":
            others += [argument, *left]
        elif name == "--every":
            given = value if equals else next(left, None)
            if given is None:
                raise SetupError("--every: how often? (for example --every 30s)")
            own[name] = given
        elif argument in ("--unit", "-h", "--help"):
            own[argument] = ""
        else:
            others.append(argument)
    return own, others


@contextmanager
def _only_one(repository: Repository, queue: Queue) -> Iterator[None]:
    folder = repository.home / "watch"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{key(queue)}.lock")
    owner = folder / f"{key(queue)}.pid"
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        who = owner.read_text() if owner.exists() else "unknown"
        raise SetupError(f"{queue.pending}: is watched already, by process {who}") from error
    try:
        owner.write_text(str(os.getpid()))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


class Watch:
    """The loop: look, wait, run."""

    def __init__(self, repository: Repository, queue: Queue, arguments: Sequence[str], period: float) -> None:
        self.repository = repository
        self.queue = queue
        self.arguments = arguments
        self.period = period
        self.course = Course(period)
        self.told = ToldOnce()
        self.began = datetime.now()
        named = _value(arguments, "--agent-config")
        self.settings_file = repository.top / FILE_NAME if named is None else Path.cwd() / named
        self._said = ""
        self._reviewed = self._reviews()

    def go_on(self) -> int:
        with ExitStack() as stack:
            signals = stack.enter_context(Signals())
            step: Step = Wait("nothing to run")
            while not signals.count:
                if isinstance(step, Wait):
                    end = self._wait(step, signals)
                    if end is not None or signals.count:
                        step = end or step
                        break
                elif isinstance(step, End):
                    break
                step = self._run(signals)
            self._say(step.why if isinstance(step, End) and not signals.count else "stopped")
        return 2

    def _wait(self, step: Wait, signals: Signals) -> End | None:
        """Return when a run is to be started, or a signal has come."""
        began, since = time.monotonic(), self._look()
        told = f"; next try in {format_duration(step.seconds)}" if step.seconds is not None else ""
        ask = "; `agenttasks approve` has it go on" if step.approval else ""
        last: Seen | None = None
        while not signals.count:
            if (clock := self._until()) is not None and past(clock, self.began, datetime.now()):
                return End(f"it is past {clock}")
            seen = self._look()
            if seen != last and not self._busy():
                if self._called_for(step, since, seen):
                    return None
                last = seen
            if (
                step.seconds is not None
                and time.monotonic() - began >= step.seconds
                and not self._busy()
                and could_run(self.repository, self.queue, self._history())
            ):
                return None
            self._say(f"waiting: {one_line(step.why, 300)}{ask}{told}")
            signals.wait(self.period)
        return None

    def _called_for(self, step: Wait, since: Seen, seen: Seen) -> bool:
        """Whether what is seen now ends the wait."""
        if step.approval:
            return self._reviews() != self._reviewed or (step.person and seen.settings != since.settings)
        by_hand = (seen.person, seen.settings) != (since.person, since.settings)
        return (step.tasks and self._fresh(seen)) or (step.person and by_hand)

    def _run(self, signals: Signals) -> Step:
        """One run, in a process of its own."""
        self._said = ""
        before = self._look()
        self._reviewed = self._reviews()
        command = [sys.executable, "-P", "-m", "pytest_agenttasks.cli", "run", *self.arguments]
        with self.told.opened() as (stdout, stderr):
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, process_group=0
            )
            passed_on = 0
            while process.poll() is None:
                known = last_run(self.repository, self.queue)
                if known is not None and known.pid == process.pid and known.status is None:
                    self.told.started()
                self.told.relay()
                while passed_on < signals.count:
                    passed_on += 1
                    self._stop(process, passed_on)
                signals.wait(1.0)
            status = process.returncode
            known = last_run(self.repository, self.queue)
            if known is not None and known.pid != process.pid:
                known = None
            self.told.ended(bad=status not in (0, 1, 2, 5), why=None if known is None else known.why)
        after = self._look()
        return self.course.after(
            status,
            known,
            before=before.tasks,
            now=after.tasks,
            runnable=could_run(self.repository, self.queue, self._history()),
            resumes_in=self._resumes_in(None if known is None else known.stopped),
        )

    def _stop(self, process: subprocess.Popen[bytes], times: int) -> None:
        if times == 1:
            self._say("stopping: the run ends its agents and keeps what they did; once more kills it")
            process.send_signal(signal.SIGINT)
        else:
            self._say("killed: the next start mends what was cut off")
            os.killpg(process.pid, signal.SIGKILL)

    def _resumes_in(self, stopped: str | None) -> float | None:
        """Seconds until what stopped the run is over; None: nobody knows."""
        if stopped == "budget":
            today = spent.used_up_today(self._history())
            return None if today is None else float(today["until"]) - time.time()
        return max((known.until - time.time() for known in pause.known(self.repository)), default=None)

    def _busy(self) -> bool:
        """Whether somebody else runs this queue now."""
        return any(known.get("queue") == str(self.queue.pending) for known in going_on(self.repository))

    def _look(self) -> Seen:
        return look(self.repository, self.queue, self.settings_file)

    def _fresh(self, seen: Seen) -> bool:
        if not self.course.fresh(seen.tasks, seen.tasks):
            return False
        runnable = could_run(self.repository, self.queue, self._history())
        return bool(self.course.fresh(runnable, seen.tasks))

    def _history(self) -> History:
        return Journal(self.repository.home / "journal.jsonl").history

    def _reviews(self) -> int:
        """How many approvals and rejections are recorded; -1 where they cannot be read, which the run complains of."""
        try:
            return len(approvals.read(self.repository, self.queue))
        except SetupError:
            return -1

    def _until(self) -> str | None:
        typed = _value(self.arguments, "--agent-until")
        if typed is not None:
            return typed
        try:
            return load(self.settings_file, {}).until
        except SetupError:
            return None

    def _say(self, line: str) -> None:
        if line != self._said:
            self._said = line
            print(f"[{time.strftime('%H:%M')}] watch: {line}", flush=True)


def _value(arguments: Sequence[str], option: str) -> str | None:
    """What was typed for an option of pytest's; the last one counts."""
    found = None
    for position, argument in enumerate(arguments):
        if argument == option and position + 1 < len(arguments):
            found = arguments[position + 1]
        elif argument.startswith(f"{option}="):
            found = argument.removeprefix(f"{option}=")
    return found
