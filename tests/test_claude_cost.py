from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given

from pytest_agenttasks.agents.claude_cost import Cost, cost_of_stream
from tests.claude_events import DONE, INIT, line, stream_lines

MODEL = "claude-opus-4-8"


def about(usd: float) -> Any:
    return pytest.approx(usd)


def said(identity: str, usage: dict[str, int] | None = None, model: str = MODEL, text: str = "") -> object:
    message = {"id": identity, "model": model, "content": [{"type": "text", "text": text}]}
    return {"type": "assistant", "message": {**message, **({"usage": usage} if usage else {})}}


def cost(folder: Path, *events: object) -> Cost | None:
    file = folder / "stream.jsonl"
    file.write_bytes(b"".join(line(event) + b"\n" for event in events))
    return cost_of_stream(file)


USAGE = {"input_tokens": 100, "output_tokens": 50}
EACH = (100 * 5 + 50 * 25) / 1e6


def test_what_the_result_says_is_no_estimate(tmp_path: Path) -> None:
    assert cost(tmp_path, INIT, said("m1", USAGE), DONE) == Cost(0.5, estimated=False)


def test_a_session_that_was_cut_is_estimated_message_by_message(tmp_path: Path) -> None:
    """Each block of a message is an event of its own, with the usage of the whole message."""
    found = cost(tmp_path, INIT, said("m1", USAGE), said("m1", USAGE), said("m2", USAGE))
    assert found == Cost(about(2 * EACH), estimated=True)


def test_what_came_after_a_result_is_added(tmp_path: Path) -> None:
    found = cost(tmp_path, INIT, said("m1", USAGE), DONE, INIT, said("m2", USAGE))
    assert found == Cost(about(0.5 + EACH), estimated=True)


def test_a_message_that_says_little_of_its_length_is_measured(tmp_path: Path) -> None:
    usage = {"input_tokens": 0, "output_tokens": 1}
    found = cost(tmp_path, said("m1", usage, text="x" * 4000))
    assert found is not None
    assert 1000 * 25 / 1e6 <= found.usd < 1100 * 25 / 1e6


def test_the_cache_has_its_prices(tmp_path: Path) -> None:
    usage = {"cache_creation_input_tokens": 1000, "cache_read_input_tokens": 1000, "output_tokens": 1000}
    assert cost(tmp_path, said("m1", usage, "claude-sonnet-4-5")) == Cost(
        about((1250 * 3 + 100 * 3 + 1000 * 15) / 1e6), estimated=True
    )


@pytest.mark.parametrize(
    "events",
    [(), (INIT,), (said("m1", USAGE, "some-model"),), (said("m1"),), (said("m1", USAGE), said("m2"))],
)
def test_what_cannot_be_told_is_not_guessed(tmp_path: Path, events: tuple[object, ...]) -> None:
    assert cost(tmp_path, *events) is None


def test_no_stream_says_nothing(tmp_path: Path) -> None:
    assert cost_of_stream(tmp_path / "nowhere") is None


@given(lines=stream_lines)
def test_nothing_in_a_stream_breaks_it(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    file = tmp_path_factory.mktemp("stream") / "s"
    file.write_bytes(b"\n".join([*lines, json.dumps(said("m", USAGE)).encode()]))
    cost_of_stream(file)
