"""A `claude` that plays the fault model: the same events on stdout as the real CLI, whatever becomes of the files.

A script of the standard library alone, started anew for every session; `SOAK_LEDGER` says where its ledger is.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from soak.faults import Behaviour, Disturbance, behaviour, events
from soak.ledger import STORM, VARIABLE, Ledger, Session
from soak.project import PROTECTED, Task, tasks

VERSION = "2.1.197 (soak)"
HELP = """--print --output-format --verbose --tools --allowedTools --permission-mode <mode> (dontAsk) --strict-mcp-config --model
--max-budget-usd --settings --max-turns"""
LONGEST = 20.0
"""Seconds after which a session that hangs ends by itself, should nobody end it."""

AT_WORK = 0.4
"""Seconds that a session goes on after its first file: long enough to be killed in the midst of."""

DAEMON = """
n=0 gone=0
while [ $n -lt 60 ]; do
  n=$((n + 1)); sleep 0.5
  if kill -0 "$1" 2>/dev/null; then continue; fi
  gone=$((gone + 1))
  [ $gone -ne 2 ] || echo "# late" >> "$2"
  [ $gone -ne 8 ] || echo "$3" >> "$4"
done
"""
"""Half a minute at most. A second after its session it writes to the workspace, after four it says that it is still there."""


def main() -> int:
    if "--version" in sys.argv:
        print(VERSION)
        return 0
    if "--help" in sys.argv:
        print(HELP)
        return 0
    ledger = Ledger(Path(os.environ[VARIABLE]))
    known = json.loads((ledger.folder / "model.json").read_text())
    found = re.search(r"^# Task (\d{4})", sys.stdin.read(), re.MULTILINE)
    assert found is not None, "no task in the prompt"
    task = tasks(known["seed"], known["tasks"])[int(found[1]) - 1]
    session = ledger.begin(task.name)
    if (refused := _outage(ledger, session, known)) is not None:
        return refused
    drawn = behaviour(known["seed"], task.number, session.number)
    ledger.did(session, drawn)
    return Play(ledger, session, task).play(drawn)


def _outage(ledger: Ledger, session: Session, known: dict[str, int]) -> int | None:
    """The exit status of a session that the service refused; None where it is there."""
    for event in events(known["seed"], known["tasks"]):
        if event.what is Disturbance.USAGE_LIMIT:
            until = ledger.limited_until(event.at, session.index)
            if until is None:
                continue
            _begin(session)
            info = {"status": "rejected", "resetsAt": int(until) + 1, "rateLimitType": "five_hour"}
            _say({"type": "rate_limit_event", "rate_limit_info": info})
            _refused(session, "rate_limit", 429, "You've hit your limit")
        elif event.what is Disturbance.OVERLOAD and event.at <= session.index < event.at + STORM:
            _begin(session)
            _refused(session, "server_error", 529, "API Error: Repeated 529 Overloaded errors.")
        else:
            continue
        ledger.did(session, event.what)
        return 1
    return None


class Play:
    """One session in the current folder."""

    def __init__(self, ledger: Ledger, session: Session, task: Task) -> None:
        self.ledger = ledger
        self.session = session
        self.task = task
        self.author = f"session {task.number:04d}.{session.number}"

    def play(self, drawn: Behaviour) -> int:
        match drawn:
            case Behaviour.EMPTY:
                return 0
            case Behaviour.SILENT:
                return _hang()
        _begin(self.session)
        _message({"type": "tool_use", "id": "t", "name": "Bash", "input": {"command": str(drawn)}})
        match drawn:
            case Behaviour.LIES:
                return self._done("All done; all tests pass.")
            case Behaviour.WRONG:
                self._build(wrong=True)
                return self._done("Done; all tests pass.")
            case Behaviour.BROKEN:
                self._write(
                    self.task.feature.path, f"# {self.author}\n{self.task.feature.name}() {{ result=$(( $1\n"
                )
                return self._done("Done.")
            case Behaviour.HANGS:
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                self._build(half=True)
                return _hang()
            case Behaviour.CRASHES:
                self._build(half=True)
                os.kill(os.getpid(), signal.SIGKILL)
        self._build()
        time.sleep(AT_WORK)
        self._besides(drawn)
        if drawn is Behaviour.TURNS:
            return self._result(
                1, subtype="error_max_turns", is_error=True, errors=["Reached maximum number of turns"]
            )
        status = self._done("Done.")
        return _hang() if drawn is Behaviour.LINGERS else status

    def _build(self, *, wrong: bool = False, half: bool = False) -> None:
        """What the task asks for, or something like it."""
        if self.task.kind == "refused":
            self._write(PROTECTED, f"as the task wants it, {self.author}\n")
            return
        feature = self.task.feature
        port = _free_port() if self.task.kind == "port" else None
        self._write(feature.path, feature.text(self.task.version, self.author, port=port, wrong=wrong))
        if self.task.kind == "listed" and not half:
            listing = Path(feature.listing)
            listed = listing.read_text() if listing.exists() else ""
            if f"{feature.name}\n" not in listed:
                self._write(feature.listing, f"{listed}{feature.name}\n")

    def _besides(self, drawn: Behaviour) -> None:
        match drawn:
            case Behaviour.REMEMBERS:
                memory = Path("CLAUDE.md").read_text()
                line = f"- {self.task.feature.name}: seen by {self.author}.\n"
                self._write("CLAUDE.md", memory.replace("## Known Issues\n", f"## Known Issues\n\n{line}", 1))
            case Behaviour.STRAY:
                self._write(
                    "src/core/b001.sh", Path("src/core/b001.sh").read_text() + f"# touched by {self.author}\n"
                )
            case Behaviour.LITTER:
                self._write(f"notes-{self.task.number:04d}.txt", f"what I thought, {self.author}\n")
            case Behaviour.WEAKENS:
                self._write("check.sh", f"# {self.author}\nexit 0\n")
            case Behaviour.PROTECTED:
                self._write(PROTECTED, f"mine, {self.author}\n")
            case Behaviour.DELETES:
                Path("src/core/b002.sh").unlink(missing_ok=True)
            case Behaviour.COMMITS:
                for command in (["add", "-A"], ["commit", "-q", "-m", f"wip: {self.task.name}"]):
                    subprocess.run(["git", *command], check=False, capture_output=True)
            case Behaviour.DAEMON:
                told = f'{{"task": "{self.task.name}", "number": {self.session.number}}}'
                process = subprocess.Popen(
                    ["sh", "-c", DAEMON, "daemon", str(os.getpid()), self.task.feature.path, told,
                     str(self.ledger.folder / "outlived.jsonl")],
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True,
                )  # fmt: skip
                self.ledger.did(self.session, f"daemon {process.pid}")

    def _write(self, name: str, text: str) -> None:
        file = Path(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        self.ledger.wrote(self.session, name, text.encode())

    def _done(self, text: str) -> int:
        return self._result(0, result=text)

    def _result(self, status: int, **more: Any) -> int:
        usd = 0.01 + self.task.number % 7 / 1000
        self.ledger.spent(self.session, usd)
        _end(self.session, cost=usd, **more)
        return status


def _free_port() -> int:
    taken = set()
    for file in Path("src").glob("*/*.sh"):
        taken |= {int(port) for port in re.findall(r"_port=(\d+)", file.read_text())}
    return next(port for port in range(8000, 20000) if port not in taken)


def _hang() -> int:
    """Until somebody ends it."""
    sys.stdout.flush()
    time.sleep(LONGEST)
    return 1


def _identity(session: Session) -> str:
    return f"soak-{session.task}-{session.number}"


def _begin(session: Session) -> None:
    _say(
        {"type": "system", "subtype": "init", "session_id": _identity(session), "model": "soak", "cwd": os.fspath(Path.cwd()),
         "claude_code_version": VERSION}
    )  # fmt: skip


def _message(*content: object, **more: object) -> None:
    message = {"id": "m1", "role": "assistant", "content": list(content)}
    _say({"type": "assistant", "message": message, "parent_tool_use_id": None, **more})


def _refused(session: Session, error: str, status: int, text: str) -> None:
    _message({"type": "text", "text": text}, error=error)
    _end(session, cost=0.0, is_error=True, api_error_status=status, result=text)


def _end(session: Session, cost: float, **more: Any) -> None:
    _say(
        {"type": "result", "subtype": "success", "is_error": False, "num_turns": 2, "total_cost_usd": cost, "result": "",
         "session_id": _identity(session), "permission_denials": [], **more}
    )  # fmt: skip


def _say(event: object) -> None:
    print(json.dumps(event), flush=True)


if __name__ == "__main__":
    sys.exit(main())
