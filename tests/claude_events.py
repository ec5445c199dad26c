"""Events as the claude CLI prints them, and hypothesis strategies for such as it never should."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st

from pytest_agenttasks.agents.claude_stream import Stream, parse

INIT = {
    "type": "system",
    "subtype": "init",
    "session_id": "s-1",
    "model": "m-1",
    "cwd": "/w",
    "claude_code_version": "2.1.0",
}
DONE = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "num_turns": 3,
    "total_cost_usd": 0.5,
    "result": "All done.",
    "session_id": "s-1",
    "permission_denials": [],
}


def line(event: object) -> bytes:
    return json.dumps(event).encode()


def stream_of(*events: object) -> Stream:
    return parse(iter([line(event) for event in events]))


def call(tool: str, identity: str = "m1", **arguments: object) -> dict[str, Any]:
    return spoken({"type": "tool_use", "id": "t", "name": tool, "input": arguments}, identity=identity)


def calls(*inputs: Mapping[str, object], tool: str = "Bash") -> list[dict[str, Any]]:
    """One message for each call, with ids of their own."""
    return [
        spoken({"type": "tool_use", "id": f"t{n}", "name": tool, "input": given}, identity=f"m{n}")
        for n, given in enumerate(inputs)
    ]


def spoken(*content: object, identity: str = "m1", **extra: object) -> dict[str, Any]:
    message = {"id": identity, "role": "assistant", "content": list(content)}
    return {"type": "assistant", "message": message, "parent_tool_use_id": None, **extra}


def retried(error: str, status: int | None, attempt: int = 1) -> dict[str, object]:
    event = {"type": "system", "subtype": "api_retry", "max_retries": 10, "retry_delay_ms": 500}
    return {**event, "attempt": attempt, "error_status": status, "error": error}


def api_error(error: str | None, status: int | None) -> tuple[object, object]:
    said = spoken({"type": "text", "text": "API Error"}, **({"error": error} if error else {}))
    return said, {**DONE, "is_error": True, "api_error_status": status, "result": "API Error: words"}


_KEYS = """
type subtype message content name input error is_error result errors usage permission_denials id text thinking
rate_limit_info resetsAt status attempt max_retries error_status session_id parent_tool_use_id num_turns
total_cost_usd old_string new_string command pattern tool_name tool_input
"""
texts = st.text(st.characters(categories=("L", "Cc", "Cs")), max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.just(10**400) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(_KEYS.split())
kinds = st.sampled_from(
    ["system", "assistant", "user", "result", "rate_limit_event", "init", "api_retry", "success", "tool_use"]
)
events = st.recursive(
    json_values | kinds,
    lambda inner: st.dictionaries(keys, inner, max_size=6) | st.lists(inner, max_size=3),
    max_leaves=20,
)
stream_lines = st.lists(
    st.binary(max_size=40) | st.dictionaries(keys, events, max_size=8).map(line), max_size=6
)
