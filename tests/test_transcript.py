from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from markdown_it import MarkdownIt

from pytest_agenttasks.report import transcript as module
from pytest_agenttasks.report.transcript import LONGEST_BLOCK, transcript, write_transcript
from tests.claude_events import DONE, INIT, call, line, retried, spoken, stream_lines


def page_of(*items: object) -> str:
    return "".join(transcript((line(item) for item in items), "001-hello, attempt 1"))


def told(content: object, **extra: object) -> dict[str, object]:
    block = {"type": "tool_result", "tool_use_id": "t", "content": content, **extra}
    return {"type": "user", "message": {"role": "user", "content": [block]}}


def test_a_session_reads_from_top_to_bottom() -> None:
    page = page_of(
        INIT,
        spoken({"type": "thinking", "thinking": "Hm.\nWell."}, {"type": "text", "text": "I shall look."}),
        call("Bash", command="npm test"),
        told("2 failed"),
        call("Edit", file_path="src/a.py", old_string="x = 1", new_string="x = 2\ny = 3"),
        told([{"type": "text", "text": "edited"}, {"type": "image"}]),
        call("Write", file_path="b.txt", content="hello"),
        told("not allowed", is_error=True),
        retried("overloaded", 529),
        call("Grep", pattern="x", path="src"),
        DONE,
    )
    assert page == (
        "# 001-hello, attempt 1\n"
        "\nSession `s-1`, model `m-1`, version `2.1.0`\n"
        "\n## Thought\n\n> Hm.\n> Well.\n"
        "\n## Agent\n\nI shall look.\n"
        "\n### `Bash npm test`\n\n```sh\nnpm test\n```\n"
        "\nResult:\n\n```\n2 failed\n```\n"
        "\n### `Edit src/a.py`\n\n```diff\n-x = 1\n+x = 2\n+y = 3\n```\n"
        "\nResult:\n\n```\nedited\n[image]\n```\n"
        "\n### `Write b.txt`\n\n```\nhello\n```\n"
        "\nRefused or failed:\n\n```\nnot allowed\n```\n"
        "\n> API retry 1/10: overloaded (529)\n"
        '\n### `Grep x`\n\n```json\n{\n  "pattern": "x",\n  "path": "src"\n}\n```\n'
        "\n## End: success, 3 turns, 0.5000 USD\n"
    )


def test_an_error_shows_its_words_and_what_was_not_allowed() -> None:
    denial = {"tool_name": "Write", "tool_input": {"file_path": "/etc/`x`"}}
    page = page_of(
        {
            **DONE,
            "is_error": True,
            "api_error_status": 429,
            "result": "You've hit your limit",
            "errors": ["one", 2],
            "permission_denials": [denial],
        }
    )
    assert "## End: success, API status 429, 3 turns, 1 refused, 0.5000 USD" in page
    assert "> You've hit your limit" in page
    assert "> one\n" in page
    assert "> not allowed: `Write /etc/'x'`" in page


def test_a_usage_limit_is_told() -> None:
    info = {"status": "rejected", "rateLimitType": "five_hour"}
    assert "> Usage limit five_hour: rejected" in page_of(
        {"type": "rate_limit_event", "rate_limit_info": info}
    )


def test_a_subagents_part_is_marked() -> None:
    assert "## Agent (in a subagent)" in page_of(
        {**spoken({"type": "text", "text": "hi"}), "parent_tool_use_id": "t"}
    )


def test_a_block_cannot_close_its_own_fence() -> None:
    page = page_of(told("```\n# not a heading\n````"))
    tokens = MarkdownIt().parse(page)
    assert [token.content for token in tokens if token.type == "fence"] == ["```\n# not a heading\n````\n"]


def test_terminal_sequences_do_not_get_into_the_page() -> None:
    page = page_of(told("\x1b[31mred\x1b[0m \x07"), call("Bash", command="\x1b]0;owned\x07ls"))
    assert "\x1b" not in page
    assert "\x07" not in page


@pytest.mark.parametrize("depth", [500, 950, 2000, 9000])
def test_deep_nesting_does_no_harm(depth: int) -> None:
    nested = "[" * depth + "]" * depth
    raw = line(call("Odd", x=0)).replace(b'"x": 0', f'"x": {nested}'.encode())
    assert "Odd" in "".join(transcript([raw], "x"))


def test_a_cost_beyond_reason_is_left_out() -> None:
    assert page_of({**DONE, "total_cost_usd": 10**400}).endswith("## End: success, 3 turns\n")


def test_plain_output_is_shown_as_it_is() -> None:
    page = "".join(transcript([b"Loading", b"# more", line(INIT), b"\xff end"], "x"))
    assert "\n```\nLoading\n# more\n```\n" in page
    assert page.endswith("\n```\n\ufffd end\n```\n")


def test_a_long_block_loses_its_middle() -> None:
    text = "head" + "x" * 100_000 + "end"
    page = page_of(told(text))
    assert len(page) < LONGEST_BLOCK + 200
    assert f"[… {len(text) - LONGEST_BLOCK:,} characters left out]" in page
    assert "head" in page
    assert "end\n```" in page


def test_a_page_is_written_from_a_stream_file(tmp_path: Path) -> None:
    stream, page = tmp_path / "attempt-1.jsonl", tmp_path / "attempt-1.transcript.md"
    stream.write_bytes(line(INIT) + b"\n" + line(DONE))
    write_transcript(stream, page, "a\nb\x1b[1m")
    assert page.read_text(encoding="utf-8").startswith("# a b\n\nSession `s-1`")


def test_a_very_long_page_ends_with_a_pointer_to_the_stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LONGEST_PAGE", 1000)
    stream, page = tmp_path / "attempt-1.jsonl", tmp_path / "page.md"
    stream.write_bytes(b"\n".join(line(told("x" * 100)) for _ in range(100)))
    write_transcript(stream, page, "x")
    assert page.stat().st_size < 1100
    assert page.read_text(encoding="utf-8").endswith("the rest is in `attempt-1.jsonl`.*\n")


@given(stream_lines)
def test_no_stream_whatsoever_breaks_the_page(lines: list[bytes]) -> None:
    "".join(transcript(lines, "x")).encode()
