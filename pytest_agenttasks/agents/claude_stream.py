"""What the lines of `--output-format stream-json` say so far, as one immutable record.

`advance` folds one line into it. Only whole top-level lines are looked at: what an agent prints, writes or
reads is inside JSON strings and can say nothing here. `claude_verdict` turns the record into an outcome.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

LONGEST_LINE = 32 * 1024 * 1024
LONGEST_TEXT = 16 * 1024
LONGEST_STEP = 160
KEPT_STEPS = 10
KEPT_DENIALS = 50

_STEP_KEYS = (
    "file_path",
    "notebook_path",
    "command",
    "pattern",
    "path",
    "url",
    "query",
    "description",
    "skill",
)
_USAGE = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")


@dataclass(frozen=True, slots=True)
class Retry:
    """A request that the CLI is about to repeat by itself; `status` None: there was no answer at all."""

    attempt: int
    limit: int
    status: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Limit:
    """The login's usage limit as last reported; `resets_at` epoch seconds."""

    status: str
    name: str
    resets_at: float | None


@dataclass(frozen=True, slots=True)
class Result:
    """The `result` event. `subtype` alone lies: an API error is a `success` with `is_error`."""

    subtype: str
    is_error: bool
    status: int | None = None
    turns: int | None = None
    text: str = ""
    errors: tuple[str, ...] = ()
    denials: tuple[str, ...] = ()
    denied: int = 0
    reason: str = ""
    usage: Mapping[str, int] | None = None
    answer: object = None
    """What the session answered by `--json-schema`, as the CLI took it; None: nothing."""


@dataclass(frozen=True, slots=True)
class Stream:
    """A session as its stream tells it.

    `turns` counts the model's messages; `steps` are the last tool calls, oldest first; `retry` is set while
    the CLI repeats a request and stays set when it gives up; `error` is the kind of the last assistant line
    that stood for an API error; `result` is None again when the session goes on after one. `unreadable`
    counts lines that are no JSON object or too long. `call` is the last tool call's id and what it asked for (a digest of
    tool and input), `repeated` how often in a row just that was asked for.
    """

    session: str | None = None
    model: str | None = None
    version: str | None = None
    cwd: str = ""
    events: int = 0
    unreadable: int = 0
    turns: int = 0
    message: str = ""
    steps: tuple[str, ...] = ()
    call: tuple[str, str] = ("", "")
    repeated: int = 0
    retries: int = 0
    retry: Retry | None = None
    error: str | None = None
    limit: Limit | None = None
    cost_usd: float | None = None
    result: Result | None = None

    @property
    def step(self) -> str:
        """What it is doing now, in a few words that an agent may have chosen."""
        if self.retry is not None and self.result is None:
            return f"API retry {self.retry.attempt}/{self.retry.limit} ({self.retry.error})"
        return self.steps[-1] if self.steps else ""


class Lines:
    """Cuts a growing stream of bytes into lines; a line longer than the limit comes out as b"\\0"."""

    def __init__(self, longest: int = LONGEST_LINE) -> None:
        self._longest = longest
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The lines that `data` completes."""
        *complete, rest = data.split(b"\n")
        for part in complete:
            self._keep(part)
            yield from self.close()
        self._keep(rest)

    def close(self) -> Iterator[bytes]:
        """The line that was begun, if any."""
        if self._size:
            yield b"".join(self._parts) if self._size <= self._longest else b"\0"
        self._parts, self._size = [], 0

    def _keep(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > self._longest:
            self._parts = []
        elif part:
            self._parts.append(part)


def parse(lines: Iterator[bytes]) -> Stream:
    """The record of a whole stream."""
    stream = Stream()
    for line in lines:
        stream = advance(stream, line)
    return stream


def event_of(line: bytes) -> dict[str, Any] | None:
    """The event on one line; None where it is no JSON object."""
    try:
        event = json.loads(line.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def advance(stream: Stream, line: bytes) -> Stream:
    """`stream` with one more line; never raises."""
    if not line.strip():
        return stream
    event = event_of(line)
    if event is None:
        return replace(stream, unreadable=stream.unreadable + 1)
    stream = replace(stream, events=stream.events + 1)
    match event.get("type"), event.get("subtype"):
        case "system", "init":
            return _begun(stream, event)
        case "system", "api_retry":
            return _retried(stream, event)
        case "assistant", _:
            return _spoken(stream, event)
        case "rate_limit_event", _:
            return _limited(stream, event)
        case "result", _:
            return _ended(stream, event)
    return stream


def _begun(stream: Stream, event: Mapping[str, Any]) -> Stream:
    return replace(
        stream,
        session=_text(event, "session_id", 100) or stream.session,
        model=_text(event, "model", 200) or stream.model,
        version=_text(event, "claude_code_version", 100) or stream.version,
        cwd=_text(event, "cwd", 4096) or stream.cwd,
        result=None,
    )


def _retried(stream: Stream, event: Mapping[str, Any]) -> Stream:
    retry = Retry(
        attempt=_integer(event, "attempt") or 1,
        limit=_integer(event, "max_retries") or 0,
        status=_integer(event, "error_status"),
        error=_text(event, "error", 100) or "unknown",
    )
    return replace(stream, retry=retry, retries=stream.retries + 1)


def _spoken(stream: Stream, event: Mapping[str, Any]) -> Stream:
    message = _mapping(event, "message")
    for block in tool_calls(message):
        stream = _called(stream, block)
    steps = stream.steps + tuple(
        describe_call(_text(block, "name", 80), _mapping(block, "input"), stream.cwd)
        for block in tool_calls(message)
    )
    if event.get("parent_tool_use_id") is not None:
        return replace(stream, steps=steps[-KEPT_STEPS:])
    if error := _text(event, "error", 100):
        return replace(stream, error=error, result=None)
    identity = _text(message, "id", 200)
    return replace(
        stream,
        turns=stream.turns + (identity != stream.message),
        message=identity,
        steps=steps[-KEPT_STEPS:],
        retry=None,
        error=None,
        result=None,
    )


def _called(stream: Stream, block: Mapping[str, Any]) -> Stream:
    """`stream` with one more tool call; one that is printed again under the same id is no other call."""
    identity = _text(block, "id", 200)
    if identity and identity == stream.call[0]:
        return stream
    try:
        asked = json.dumps([block.get("name"), block.get("input")], sort_keys=True)
    except (ValueError, RecursionError):
        asked = identity
    call = identity, hashlib.sha256(asked.encode()).hexdigest()
    return replace(stream, call=call, repeated=stream.repeated + 1 if call[1] == stream.call[1] else 1)


def _limited(stream: Stream, event: Mapping[str, Any]) -> Stream:
    info = _mapping(event, "rate_limit_info")
    resets_at = _number(info, "resetsAt")
    if resets_at is not None and resets_at > 1e11:
        resets_at /= 1000
    return replace(
        stream, limit=Limit(_text(info, "status", 50), _text(info, "rateLimitType", 50), resets_at)
    )


def _ended(stream: Stream, event: Mapping[str, Any]) -> Stream:
    subtype = _text(event, "subtype", 100)
    usage = _mapping(event, "usage")
    result = Result(
        subtype=subtype,
        is_error=event.get("is_error") is not False or subtype != "success",
        status=_integer(event, "api_error_status"),
        turns=_integer(event, "num_turns"),
        text=_text(event, "result", LONGEST_TEXT),
        errors=tuple(_clip(error, 1000) for error in _list(event, "errors")[:10] if isinstance(error, str)),
        denials=tuple(
            describe_call(_text(denial, "tool_name", 80), _mapping(denial, "tool_input"), stream.cwd)
            for denial in _list(event, "permission_denials")[:KEPT_DENIALS]
            if isinstance(denial, dict)
        ),
        denied=len(_list(event, "permission_denials")),
        reason=_text(event, "terminal_reason", 100),
        usage={key: count for key in _USAGE if (count := _integer(usage, key)) is not None},
        answer=event.get("structured_output"),
    )
    cost = _number(event, "total_cost_usd")
    return replace(
        stream,
        result=result,
        cost_usd=stream.cost_usd if cost is None else cost,
        session=_text(event, "session_id", 100) or stream.session,
    )


def tool_calls(message: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The `tool_use` blocks of a message."""
    for block in _list(message, "content"):
        if isinstance(block, dict) and block.get("type") == "tool_use":
            yield block


def describe_call(name: str, arguments: Mapping[str, Any], cwd: str = "") -> str:
    """A tool call in a few words, such as `Edit src/a.py` or `Bash npm test`; on one line."""
    value = next((text for key in _STEP_KEYS if (text := _text(arguments, key, LONGEST_STEP * 4))), "")
    if cwd:
        value = value.replace(cwd.rstrip("/") + "/", "")
    return " ".join(f"{name} {value}".split())[:LONGEST_STEP]


def _mapping(event: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = event.get(key)
    return value if isinstance(value, dict) else {}


def _list(event: Mapping[str, Any], key: str) -> list[Any]:
    value = event.get(key)
    return value if isinstance(value, list) else []


def _text(event: Mapping[str, Any], key: str, longest: int) -> str:
    value = event.get(key)
    return _clip(value, longest) if isinstance(value, str) else ""


def _clip(text: str, longest: int) -> str:
    """At most `longest` characters, without the lone surrogates that JSON can spell and UTF-8 cannot."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return cut.encode("utf-8", "replace").decode()


def _number(event: Mapping[str, Any], key: str) -> float | None:
    value = event.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < 1e15 else None


def _integer(event: Mapping[str, Any], key: str) -> int | None:
    value = _number(event, key)
    return None if value is None else int(value)
