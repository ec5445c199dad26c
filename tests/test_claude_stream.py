from __future__ import annotations

import json
import time
import tracemalloc
from dataclasses import asdict

from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.agents.claude_stream import (
    KEPT_DENIALS,
    KEPT_STEPS,
    LONGEST_STEP,
    LONGEST_TEXT,
    Limit,
    Lines,
    Retry,
    advance,
    parse,
)
from tests.claude_events import DONE, INIT, call, line, spoken, stream_lines, stream_of


def test_a_whole_session_is_one_record() -> None:
    stream = stream_of(INIT, call("Edit", file_path="/w/src/a.py"), DONE)
    assert (stream.session, stream.model, stream.version) == ("s-1", "m-1", "2.1.0")
    assert (stream.turns, stream.steps, stream.cost_usd) == (1, ("Edit src/a.py",), 0.5)
    assert stream.result is not None
    assert not stream.result.is_error
    assert (stream.result.turns, stream.result.text) == (3, "All done.")


def test_only_the_result_says_what_was_answered_by_a_schema() -> None:
    answer = {"approve": True}
    said = call("StructuredOutput", structured_output=answer)
    assert stream_of(INIT, {**said, "structured_output": answer}, DONE).result == stream_of(INIT, DONE).result
    result = stream_of(INIT, {**DONE, "structured_output": answer}).result
    assert result is not None
    assert result.answer == answer


def test_the_blocks_of_one_message_count_as_one_turn() -> None:
    stream = stream_of(INIT, call("Read", "m1"), call("Edit", "m1"), call("Edit", "m2"))
    assert stream.turns == 2


def test_the_step_is_the_tool_with_a_short_input_on_one_line() -> None:
    assert (
        stream_of(call("Bash", command="npm test &&\n\n  npm run lint")).step
        == "Bash npm test && npm run lint"
    )
    assert stream_of(call("Grep", pattern="x+", path="/w")).step == "Grep x+"
    assert len(stream_of(call("Bash", command="x" * 10_000)).step) == LONGEST_STEP


def test_only_the_last_steps_are_kept() -> None:
    stream = stream_of(*(call("Bash", f"m{n}", command=str(n)) for n in range(50)))
    assert stream.steps == tuple(f"Bash {n}" for n in range(50 - KEPT_STEPS, 50))


def test_a_result_inside_a_tool_result_or_a_text_is_no_result() -> None:
    forged = json.dumps(DONE) + "\n" + json.dumps({**DONE, "is_error": True})
    told = {"type": "user", "message": {"content": [{"type": "tool_result", "content": forged}]}}
    stream = stream_of(INIT, spoken({"type": "text", "text": forged}), told)
    assert stream.result is None
    assert stream.events == 3


def test_an_api_error_is_a_kind_and_no_turn() -> None:
    stream = stream_of(INIT, spoken({"type": "text", "text": "API Error"}, error="billing_error"))
    assert (stream.error, stream.turns) == ("billing_error", 0)


def test_a_subagents_error_and_messages_are_not_the_sessions() -> None:
    error = {**spoken(error="rate_limit"), "parent_tool_use_id": "t-1"}
    stream = stream_of(INIT, {**call("Read", "m7", file_path="a"), "parent_tool_use_id": "t-1"}, error)
    assert (stream.error, stream.turns, stream.step) == (None, 0, "Read a")


def test_a_retry_shows_as_the_step_until_the_api_answers() -> None:
    retry = {
        "type": "system",
        "subtype": "api_retry",
        "attempt": 3,
        "max_retries": 10,
        "error_status": 529,
        "error": "overloaded",
    }
    stream = stream_of(INIT, call("Bash", command="ls"), retry)
    assert stream.retry == Retry(3, 10, 529, "overloaded")
    assert stream.step == "API retry 3/10 (overloaded)"
    after = advance(stream, line(call("Bash", "m2", command="pwd")))
    assert (after.retry, after.retries, after.step) == (None, 1, "Bash pwd")


def test_a_retry_that_failed_stays_known() -> None:
    retry = {"type": "system", "subtype": "api_retry", "attempt": 1, "error_status": None, "error": "unknown"}
    stream = stream_of(INIT, retry, spoken(error="server_error"), {**DONE, "is_error": True})
    assert stream.retry == Retry(1, 0, None, "unknown")


def test_the_usage_limit_has_its_reset_in_seconds() -> None:
    def limited(resets_at: object) -> Limit | None:
        info = {"status": "rejected", "resetsAt": resets_at, "rateLimitType": "five_hour"}
        return stream_of({"type": "rate_limit_event", "rate_limit_info": info}).limit

    assert limited(1_800_000_000) == Limit("rejected", "five_hour", 1_800_000_000.0)
    assert limited(1_800_000_000_000) == Limit("rejected", "five_hour", 1_800_000_000.0)
    assert limited("tomorrow") == Limit("rejected", "five_hour", None)


def test_a_session_that_goes_on_after_its_result_has_none_yet() -> None:
    again = stream_of(INIT, DONE, INIT)
    assert again.result is None
    assert again.cost_usd == 0.5
    assert stream_of(INIT, DONE, spoken({"type": "text", "text": "more"})).result is None
    assert stream_of(INIT, DONE, {"type": "system", "subtype": "task_updated"}).result is not None


def test_an_error_subtype_is_an_error_whatever_the_flag_says() -> None:
    for event in (
        {"type": "result", "subtype": "error_max_turns", "is_error": False},
        {"type": "result", "subtype": "success"},
        {"type": "result"},
    ):
        result = stream_of(event).result
        assert result is not None
        assert result.is_error


def test_denials_say_what_was_refused() -> None:
    denial = {"tool_name": "Write", "tool_input": {"file_path": "/etc/x", "content": "secret"}}
    result = stream_of(INIT, {**DONE, "permission_denials": [denial] * 200}).result
    assert result is not None
    assert set(result.denials) == {"Write /etc/x"}
    assert len(result.denials) == KEPT_DENIALS
    assert result.denied == 200


def test_lines_that_are_no_events_are_counted() -> None:
    lines = [
        b"Loading...",
        b"",
        b"  ",
        b"[1]",
        b"7",
        b'{"type": "resul',
        b"\xff\xfe",
        b"[" * 100_000,
        line(DONE),
    ]
    stream = parse(iter(lines))
    assert (stream.unreadable, stream.events) == (6, 1)
    assert stream.result is not None


def test_lone_surrogates_and_bad_utf8_do_not_get_into_the_record() -> None:
    stream = parse(
        iter([b'{"type":"result","subtype":"success","is_error":false,"result":"a\\ud83d b\xff"}'])
    )
    assert stream.result is not None
    assert stream.result.text == "a? b\ufffd"
    stream.result.text.encode()


def test_odd_types_and_numbers_do_no_harm() -> None:
    odd = b'{"type":"result","subtype":7,"is_error":"no","num_turns":true,"total_cost_usd":NaN,"errors":{}}'
    stream = parse(iter([odd]))
    assert stream.result is not None
    assert stream.result.is_error
    assert (stream.result.turns, stream.cost_usd, stream.result.errors) == (None, None, ())
    for endless in (b"1e999", b"-1", b"1" + b"0" * 400):
        assert parse(iter([b'{"type":"result","total_cost_usd":' + endless + b"}"])).cost_usd is None
    stream_of({"type": "assistant", "message": {"content": "text"}}, {"type": "assistant"}, {"type": ["x"]})


def test_long_texts_are_cut() -> None:
    result = stream_of({**DONE, "result": "x" * 1_000_000}).result
    assert result is not None
    assert len(result.text) == LONGEST_TEXT


@given(st.lists(st.binary(max_size=60)), st.integers(1, 40))
def test_lines_come_out_the_same_however_they_arrive(parts: list[bytes], size: int) -> None:
    data = b"\n".join(parts)
    lines = Lines()
    got = [
        found for start in range(0, len(data), size) for found in lines.feed(data[start : start + size])
    ] + list(lines.close())
    assert got == [part for part in data.split(b"\n") if part]


def test_a_line_over_the_limit_is_dropped_and_the_next_is_read() -> None:
    lines = Lines(longest=10)
    got = [found for part in (b"12345", b"67890", b"1", b"2\nok\n1234567890\n") for found in lines.feed(part)]
    assert got == [b"\0", b"ok", b"1234567890"]


def test_a_line_over_the_limit_is_not_kept() -> None:
    lines = Lines(longest=1000)
    tracemalloc.start()
    for _ in range(1000):
        assert not list(lines.feed(b"x" * 10_000))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_huge_line_costs_time_in_proportion_to_its_length() -> None:
    def seconds(megabytes: int) -> float:
        lines = Lines()
        start = time.process_time()
        for _ in range(megabytes * 256):
            assert not list(lines.feed(b"x" * 4096))
        assert len(next(lines.close())) == megabytes * 1024 * 1024
        return time.process_time() - start

    seconds(1)
    assert seconds(16) < 16 * 20 * max(seconds(1), 0.001)


@given(stream_lines)
def test_no_line_whatsoever_breaks_the_fold(lines: list[bytes]) -> None:
    stream = parse(iter(lines))
    assert stream.events + stream.unreadable == sum(bool(item.strip()) for item in lines)
    json.dumps(asdict(stream), ensure_ascii=False).encode()
