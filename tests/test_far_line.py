"""The far end of a connection, with a channel that is a list: what it sends, and when it ends what goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_agenttasks.agents.contract import Progress
from pytest_agenttasks.far import messages
from pytest_agenttasks.far.line import Line, Logs
from pytest_agenttasks.far.logs import write_log
from pytest_agenttasks.far.messages import Message, message


class Channel:
    """`sent` is what went out; `hear` puts something in."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.closed = False
        self.hear: Callable[[Message | None], None] = lambda _: None

    def setcallback(self, callback: Callable[[Any], None], endmarker: object) -> None:
        assert endmarker is None
        self.hear = callback

    def send(self, data: Message) -> None:
        if self.closed:
            raise OSError("closed")
        self.sent.append(data)

    def names(self) -> list[str]:
        return [name for name, _, _ in self.sent]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def line(channel: Channel, clock: Clock) -> Line:
    made = Line(channel, clock)
    made.close()
    return made


def test_silence_ends_what_goes_on_and_a_sign_of_life_does_not(
    line: Line, channel: Channel, clock: Clock
) -> None:
    clock.now += messages.SILENCE - 1
    line.tick()
    channel.hear(message(messages.BEAT))
    clock.now += messages.SILENCE - 1
    line.tick()
    clock.now += 2
    with pytest.raises(KeyboardInterrupt, match="gone"):
        line.tick()
    assert list(line.requests()) == []


def test_a_connection_that_is_closed_ends_what_goes_on_at_once(line: Line, channel: Channel) -> None:
    channel.hear(None)
    with pytest.raises(KeyboardInterrupt, match="gone"):
        line.tick()


def test_a_request_to_stop_holds_until_the_next_request(line: Line, channel: Channel) -> None:
    channel.hear(message(messages.STOP))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt, match="stopped"):
            line.tick()
    channel.hear(message("next"))
    assert next(line.requests())[0] == "next"
    line.tick()


def test_a_pack_ends_with_its_empty_piece(line: Line, channel: Channel) -> None:
    for data in (b"a", b"b", b""):
        channel.hear(message(messages.PACK, None, data))
    channel.hear(message("next"))
    assert list(line.pieces()) == [b"a", b"b"]
    assert next(line.requests())[0] == "next"


def test_steps_and_logs_are_told_now_and_then_and_written_as_they_are_there(
    line: Line, channel: Channel, clock: Clock, tmp_path: Path
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    stream = there / "attempt-1.jsonl"
    stream.write_bytes(b"one\n\xff")
    (there / "attempt-10.jsonl").write_text("another's")
    (there / "attempt-1.guard.json").write_text("its own")
    with line.telling(Logs(there, "attempt-1")):
        line.progress("t", Progress(step="\ud800 edits", turns=3))
        line.tick()
        first = len(channel.sent)
        stream.write_bytes(b"one\n\xfftwo\n")
        line.tick()
        assert len(channel.sent) == first, "not that often"
        clock.now += 1
        line.tick()
        stream.write_bytes(b"new")
    for name, document, data in channel.sent:
        if name == messages.LOG:
            write_log(here, "attempt-1", messages.read(document, messages.Piece), data)
    assert {file.name: file.read_bytes() for file in here.iterdir()} == {"attempt-1.jsonl": b"new"}
    (told,) = (document for name, document, _ in channel.sent if name == messages.STEP)
    assert messages.read(told, Progress) == Progress(step="\ud800 edits", turns=3)


def test_a_log_that_names_another_file_is_not_written(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "outside").write_text("mine")
    (tmp_path / "here/attempt-1.link").symlink_to(tmp_path / "outside")
    for name in (
        "../outside",
        "attempt-1./../../outside",
        "attempt-1.json",
        "attempt-2.jsonl",
        "attempt-1.link",
    ):
        write_log(tmp_path / "here", "attempt-1", messages.Piece(name=name, offset=0), b"x")
    assert (tmp_path / "outside").read_text() == "mine"
    assert [file.name for file in (tmp_path / "here").iterdir()] == ["attempt-1.link"]


def test_nobody_hears_it_is_no_error(line: Line, channel: Channel) -> None:
    channel.closed = True
    line.send(messages.BEAT)
    assert line.lost
