from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_agenttasks.agents.claude_watch import FIRST_BYTE_SECONDS, SETTLE_SECONDS, SPARE_TURNS, Watch
from pytest_agenttasks.agents.contract import Progress
from tests.claude_events import DONE, INIT, call, calls, line, retried

STALL = 600.0


class Following:
    """A stream file that grows, a watch on it, and a clock that is set by hand."""

    def __init__(self, path: Path, *, may_stop_retries: bool = True, **caps: int | None) -> None:
        self.path = path
        self.now = 1000.0
        self.reported: list[Progress] = []
        self.watch = Watch(
            path, self.reported.append, STALL, may_stop_retries, clock=lambda: self.now, **caps
        )
        assert self.watch.poll() is None

    def write(self, *events: object) -> None:
        self.write_raw(b"".join(line(event) + b"\n" for event in events))

    def write_raw(self, data: bytes) -> None:
        with self.path.open("ab") as file:
            file.write(data)

    def after(self, seconds: float) -> str | None:
        self.now += seconds
        return self.watch.poll()


@pytest.fixture
def following(tmp_path: Path) -> Iterator[Following]:
    found = Following(tmp_path / "attempt-1.jsonl")
    with found.watch:
        yield found


def test_progress_is_told_once_for_each_change(following: Following) -> None:
    following.write(INIT)
    following.after(1)
    following.after(1)
    following.write(call("Bash", command="npm test"))
    following.after(1)
    following.after(1)
    assert following.reported == [
        Progress(session="s-1"),
        Progress(step="Bash npm test", turns=1, session="s-1"),
    ]


def test_half_a_line_is_read_when_the_rest_has_come(following: Following) -> None:
    whole = line(INIT) + b"\n"
    following.write_raw(whole[:20])
    following.after(1)
    assert following.watch.stream.events == 0
    following.write_raw(whole[20:])
    following.after(1)
    assert following.watch.stream.session == "s-1"


def test_a_last_line_without_its_end_is_read_at_the_end(following: Following) -> None:
    following.write_raw(line(INIT) + b"\n" + line(DONE))
    assert following.watch.finish().result is not None


def test_a_cli_that_never_prints_is_ended_after_the_first_byte_limit(following: Following) -> None:
    assert following.after(FIRST_BYTE_SECONDS) is None
    assert following.after(1) == "silent"


def test_a_quiet_session_is_ended_after_the_stall_time(following: Following) -> None:
    following.write(INIT)
    assert following.after(1) is None
    assert following.after(STALL) is None
    following.write(call("Edit"))
    assert following.after(1) is None
    assert following.after(STALL) is None
    assert following.after(1) == "stalled"


def test_output_that_is_no_event_does_not_put_a_stall_off(following: Following) -> None:
    following.write(INIT)
    following.after(0)
    following.write_raw(b"noise\n")
    following.after(STALL)
    following.write_raw(b"noise\n")
    assert following.after(1) == "stalled"


def test_a_cli_that_hangs_after_its_result_is_ended_soon(following: Following) -> None:
    following.write(INIT, DONE)
    assert following.after(1) is None
    assert following.after(SETTLE_SECONDS) is None
    assert following.after(1) == "settled"


def test_a_session_that_goes_on_after_its_result_is_not_ended(following: Following) -> None:
    following.write(INIT, DONE, INIT)
    assert following.after(1) is None
    assert following.after(SETTLE_SECONDS + 1) is None


def test_retries_that_cannot_help_end_the_session(following: Following) -> None:
    following.write(INIT, retried("authentication_failed", 401, 1))
    assert following.after(1) is None
    following.write(retried("authentication_failed", 401, 2))
    assert following.after(1) == "retrying"
    assert following.reported[-1].step == "API retry 2/10 (authentication_failed)"


def test_retries_in_the_middle_of_a_session_are_waited_for(following: Following) -> None:
    following.write(INIT, call("Edit"), *(retried("overloaded", 529, n) for n in range(1, 10)))
    assert following.after(1) is None


def test_a_number_of_retries_that_the_user_chose_is_left_alone(tmp_path: Path) -> None:
    following = Following(tmp_path / "attempt-1.jsonl", may_stop_retries=False)
    with following.watch:
        following.write(INIT, *(retried("authentication_failed", 401, n) for n in range(1, 6)))
        assert following.after(1) is None


def test_the_same_call_again_and_again_ends_the_session(tmp_path: Path) -> None:
    following = Following(tmp_path / "attempt-1.jsonl", repeat_limit=3)
    same, other = {"command": "npm test", "timeout": 5}, {"command": "npm test", "timeout": 6}
    with following.watch:
        following.write(INIT, *calls(same, same, other, same, same))
        assert following.after(1) is None
        following.write(call("Read", "m8", **same))
        assert following.after(1) is None, "another tool"
        following.write(*calls(same, dict(reversed(same.items())), same))
        assert following.after(1) == "repeating"


def test_a_call_that_is_printed_twice_is_made_once(tmp_path: Path) -> None:
    following = Following(tmp_path / "attempt-1.jsonl", repeat_limit=2)
    (once,) = calls({"command": "true"})
    with following.watch:
        following.write(INIT, once, once, once)
        assert following.after(1) is None


def test_a_session_that_repeats_itself_and_is_done_is_done(tmp_path: Path) -> None:
    following = Following(tmp_path / "attempt-1.jsonl", repeat_limit=2)
    with following.watch:
        following.write(INIT, *calls({}, {}, {}), DONE)
        assert following.after(1) is None


def test_without_a_limit_a_session_may_repeat_itself(following: Following) -> None:
    following.write(INIT, *calls(*[{"command": "true"}] * 200))
    assert following.after(1) is None


def test_a_cli_that_does_not_count_its_turns_is_ended(tmp_path: Path) -> None:
    following = Following(tmp_path / "attempt-1.jsonl", max_turns=2)
    with following.watch:
        following.write(INIT, *calls(*[{"command": str(n)} for n in range(2 + SPARE_TURNS)]))
        assert following.after(1) is None, "the CLI says it itself, and better"
        following.write(call("Bash", "one more"))
        assert following.after(1) == "turns"
