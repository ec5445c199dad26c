"""What is shown: results and the table always, a live line on a terminal, heartbeats elsewhere."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_agenttasks.agents.contract import Progress
from pytest_agenttasks.integration import terminal as terminal_module
from pytest_agenttasks.integration.terminal import Terminal
from tests.queue_runs import Project


class Reporter:
    """pytest's reporter as far as the live line needs it."""

    def __init__(self, *, isatty: bool) -> None:
        self.isatty = isatty
        self.written: list[str] = []
        self._tw = SimpleNamespace(
            fullwidth=60, width_of_current_line=0, _current_line="begun ", flush=lambda: None
        )

    def ensure_newline(self) -> None:
        return

    def write_line(self, line: str) -> None:
        self.written.append(line)

    def rewrite(self, line: str, erase: bool = False) -> None:
        self.written.append(f"\r{line}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    now = SimpleNamespace(seconds=1000.0)
    fake = SimpleNamespace(monotonic=lambda: now.seconds, strftime=lambda _: "03:30")
    monkeypatch.setattr(terminal_module, "time", fake)
    return now


def terminal(reporter: Reporter | None) -> Terminal:
    @contextmanager
    def nothing_captured() -> Iterator[None]:
        yield

    plugins = {
        "terminalreporter": reporter,
        "capturemanager": SimpleNamespace(global_and_fixture_disabled=nothing_captured),
    }
    config: Any = SimpleNamespace(pluginmanager=SimpleNamespace(get_plugin=plugins.get))
    session: Any = None
    return Terminal(config, session)


def test_heartbeats_come_at_their_interval_with_time_step_and_cost(clock: SimpleNamespace) -> None:
    reporter = Reporter(isatty=False)
    shown = terminal(reporter)
    shown.begin("001-keys: attempt 2")
    for _ in range(150):
        clock.seconds += 1
        shown.progress("001-keys", Progress(step="Edit src/a.ts\x1b[2J\nnow", cost_usd=0.5))
    assert reporter.written == [
        "[03:30] 001-keys: attempt 2, 1m 00s, $0.50: Edit src/a.ts now",
        "[03:30] 001-keys: attempt 2, 2m 00s, $0.50: Edit src/a.ts now",
    ]


def test_a_silent_agent_has_a_heartbeat_too(clock: SimpleNamespace) -> None:
    reporter = Reporter(isatty=False)
    shown = terminal(reporter)
    shown.begin("001-keys: attempt 1")
    shown.progress("001-keys", Progress(step="Bash npm test"))
    for _ in range(61):
        clock.seconds += 1
        shown.tick()
    assert reporter.written == ["[03:30] 001-keys: attempt 1, 1m 00s: Bash npm test"]


def test_a_pause_is_said_when_it_begins(clock: SimpleNamespace) -> None:
    reporter = Reporter(isatty=False)
    shown = terminal(reporter)
    shown.begin("001-keys: attempt 1")
    shown.wait()
    for left in range(3600, 3500, -1):
        shown.waiting("001-keys", "usage limit", left)
        clock.seconds += 1
    assert reporter.written == [
        "[03:30] 001-keys: waiting 1h 00m more: usage limit",
        "[03:30] 001-keys: waiting 59m 00s more: usage limit",
    ]


def test_the_live_line_moves_a_few_times_a_second_and_leaves_no_trace(clock: SimpleNamespace) -> None:
    reporter = Reporter(isatty=True)
    shown = terminal(reporter)
    shown.begin("001-keys: attempt 1")
    for _ in range(100):
        clock.seconds += 0.01
        shown.progress("001-keys", Progress(step="Read " + "x" * 100))
    live = list(reporter.written)
    assert 2 <= len(live) <= 5
    assert all(line.startswith("\r001-keys: attempt 1, ") and len(line) <= 60 for line in live)
    shown.clear()
    assert reporter.written[len(live) :] == ["\r", "\rbegun "]
    assert reporter._tw._current_line == "begun "
    shown.clear()
    assert len(reporter.written) == len(live) + 2


def test_without_a_reporter_nothing_is_shown(clock: SimpleNamespace) -> None:
    shown = terminal(None)
    shown.begin("001-keys: attempt 1")
    clock.seconds += 100
    shown.progress("001-keys", Progress(step="Read"))
    shown.say("a line")
    shown.clear()


LATE = (
    'echo "reading"; sleep 0.6; echo "writing"; sleep 0.6; [ $AGENTTASKS_ATTEMPT = 2 ] && echo x >> src/a.txt'
)


@pytest.mark.parametrize("option", ["-v", "-q", "--no-header"])
def test_plain_output_has_no_trace_of_a_live_line(project: Project, option: str) -> None:
    project.agent("[ $AGENTTASKS_ATTEMPT = 2 ] && echo x >> src/a.txt")
    project.task("001-keys")
    result = project.run(option, "-p", "no:randomly", "-p", "no:asyncio")
    assert result.status == 0, result.output
    assert "\r" not in result.output
    assert "\x1b" not in result.output
    assert "starting" not in result.output
    line = next(line for line in result.output.splitlines() if re.match(r"(tasks/pending/001|R)", line))
    if option == "-v":
        assert "tasks/pending/001-keys.md::001-keys RERUN" in result.output
        assert "tasks/pending/001-keys.md::001-keys PASSED" in result.output
    elif option == "-q":
        assert line.startswith("R.")
    else:
        assert line.startswith("tasks/pending/001-keys.md R.")
    assert re.search(r"^001-keys +landed +2 ", result.output, re.M), "the table"


def screen(data: str, width: int = 100) -> list[str]:
    """The lines that a terminal shows in the end, for the few controls that pytest uses."""
    rows, column = [""], 0
    for token in re.findall(r"\x1b\[[0-9;]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", data):
        if token == "\n":
            rows.append("")
            column = 0
        elif token == "\r":
            column = 0
        elif not token.startswith("\x1b"):
            row = rows[-1].ljust(column)
            rows[-1] = row[:column] + token + row[column + len(token) :]
            column += len(token)
            assert column < width or "attempt" not in token, "the live line wrapped"
    return [row.rstrip() for row in rows]


@pytest.mark.parametrize("verbosity", ["-v", "--color=yes"])
def test_a_terminal_shows_a_live_line_and_then_what_pytest_always_shows(
    project: Project, verbosity: str
) -> None:
    project.agent(LATE)
    project.task("001-keys")
    main, other = pty.openpty()
    queue = (
        "--agent-tasks",
        "tasks/pending",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
        "-p",
        "no:asyncio",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", *queue, verbosity],
        cwd=project.path,
        env={**os.environ, "COLUMNS": "100", "TERM": "xterm"},
        stdout=other,
        stderr=other,
    )
    os.close(other)
    data = b""
    try:
        while chunk := os.read(main, 65536):
            data += chunk
    except OSError:  # how a pty says that the other side is closed
        pass
    finally:
        os.close(main)
    assert process.wait(timeout=30) == 0, data.decode()
    text = data.decode()
    assert "001-keys: attempt 1, " in text
    assert ": writing" in text
    shown = screen(text)
    assert not [line for line in shown if "attempt 1, " in line or "starting" in line]
    lines = [line for line in shown if line.startswith("tasks/pending/001-keys.md")]
    if verbosity == "-v":
        assert [line.split()[1] for line in lines] == ["RERUN", "PASSED"]
    else:
        assert [line.split()[1] for line in lines] == ["R."]
        assert lines[0].endswith("[100%]")
        assert 95 < len(lines[0]) < 100, "aligned on the right"
