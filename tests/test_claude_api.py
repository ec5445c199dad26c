from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any

import pytest

from tests.claude_api import Refusal, Say, Script, ScriptedApi, Use, usage_limit


def ask(
    api: ScriptedApi, session: str, prompt: str, results: Sequence[str] = (), *, tools: bool = True
) -> dict[str, Any]:
    """One request, not streamed; `results` are the ids of the tool calls that it answers."""
    answers = [{"type": "tool_result", "tool_use_id": identity, "content": "ok"} for identity in results]
    body = {
        "model": "m",
        "tools": [{"name": "Bash"}] if tools else [],
        "messages": [
            {"role": "user", "content": prompt},
            *({"role": "user", "content": [a]} for a in answers),
        ],
    }
    request = urllib.request.Request(
        f"{api.url}/v1/messages?beta=true",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json", "x-claude-code-session-id": session},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        message: dict[str, Any] = json.load(answer)
        return message


def said(message: dict[str, Any]) -> str:
    return " ".join(block.get("text") or block["id"] for block in message["content"])


def status_of(api: ScriptedApi, session: str) -> tuple[int, str]:
    with pytest.raises(urllib.error.HTTPError) as raised:
        ask(api, session, "x")
    with raised.value as error:
        return error.code, str(error.headers.get("anthropic-ratelimit-unified-reset"))


def test_the_turn_is_told_by_the_tool_results_and_a_repeated_request_gets_the_same() -> None:
    script: Script = [
        [Use("Bash", command="a"), Use("Bash", command="b")],
        Use("Bash", command="c"),
        Say("done"),
    ]
    with ScriptedApi(script) as api:
        first = ["toolu_0_0_0", "toolu_0_0_1"]
        assert said(ask(api, "s", "go")) == said(ask(api, "s", "go")) == " ".join(first)
        assert said(ask(api, "s", "go", first)) == "toolu_0_1_0"
        assert said(ask(api, "s", "go", [*first, "toolu_0_1_0"])) == "done"
        assert [(request.session, request.turn) for request in api.requests] == [
            (0, 0),
            (0, 0),
            (0, 1),
            (0, 2),
        ]
        assert api.requests[0].text == "go"


def test_sessions_get_the_scripts_in_order_and_one_too_many_is_counted() -> None:
    with ScriptedApi([Say("one")]) as api:
        api.add([Say("two")])
        assert [said(ask(api, name, "x")) for name in ("a", "b", "a")] == ["one", "two", "one"]
        assert status_of(api, "c")[0] == 500
        assert api.unscripted == 1
        assert len(api.session(1)) == 1


def test_a_prompt_can_choose_the_script() -> None:
    with ScriptedApi([Say("other")], by_prompt={"001-a": [[Say("a1")], [Say("a2")]]}) as api:
        replies = [
            said(ask(api, str(n), prompt)) for n, prompt in enumerate(["x", "do 001-a", "again 001-a"])
        ]
        assert replies == ["other", "a1", "a2"]


def test_side_queries_take_no_turn() -> None:
    with ScriptedApi([Say("one")]) as api:
        assert said(ask(api, "s", "title?", tools=False)) == "ok"
        assert said(ask(api, "s", "x")) == "one"
        assert (len(api.side_queries), len(api.requests)) == (1, 1)


def test_a_refusal_may_pass_after_some_times() -> None:
    with ScriptedApi([Refusal(529, "overloaded_error", times=2), Say("fine")]) as api:
        assert [status_of(api, "s")[0] for _ in range(2)] == [529, 529]
        assert said(ask(api, "s", "x")) == "fine"


def test_a_usage_limit_has_its_headers() -> None:
    with ScriptedApi([usage_limit(1_800_000_000)]) as api:
        assert [status_of(api, "s") for _ in range(2)] == [(429, "1800000000")] * 2
