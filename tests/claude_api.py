"""A scripted Messages API on loopback: the real claude CLI runs whole sessions against it, with no account.

A script is a list of turns for each session, handed out in the order in which sessions begin:

    with ScriptedApi([[Say("on it"), Use("Write", file_path="a.txt", content="x")], Say("done")]) as api:
        subprocess.run(claude, env=api.environment(home))

A turn is one block or a list of blocks, or a `Refusal` (an HTTP error), or `Silence` (never answers).
Sessions are told apart by the id that the CLI sends; the turn within one by the tool results in the
request, so that the CLI's own retries of a request get the same turn again.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import pytest

MODEL = "claude-sonnet-4-5-20250929"


@dataclass(frozen=True)
class Say:
    """A text block."""

    text: str


@dataclass(frozen=True, init=False)
class Use:
    """A tool call: `Use("Write", file_path="a.txt", content="x")`."""

    tool: str
    input: Mapping[str, object]

    def __init__(self, tool: str, /, **input: object) -> None:
        object.__setattr__(self, "tool", tool)
        object.__setattr__(self, "input", input)


@dataclass(frozen=True)
class Refusal:
    """An HTTP error instead of a reply. `times` None: for ever; else the session's next turn follows."""

    status: int
    kind: str
    message: str = "scripted"
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None


@dataclass(frozen=True)
class Silence:
    """The request is read and never answered (until the server closes)."""


Block: TypeAlias = Say | Use
Turn: TypeAlias = Block | Sequence[Block] | Refusal | Silence
Script: TypeAlias = Sequence[Turn]


def usage_limit(resets_at: int, kind: str = "five_hour") -> Refusal:
    """What a subscription login (CLAUDE_CODE_OAUTH_TOKEN) gets when its limit is reached; epoch seconds."""
    headers = {
        "anthropic-ratelimit-unified-status": "rejected",
        "anthropic-ratelimit-unified-reset": str(resets_at),
        "anthropic-ratelimit-unified-representative-claim": kind,
        "anthropic-ratelimit-unified-overage-status": "rejected",
    }
    return Refusal(429, "rate_limit_error", "usage limit", headers)


@dataclass(frozen=True)
class Request:
    """One request of a session as it came in; `session` counts from 0 in order of arrival, `turn` from 0."""

    session: int
    turn: int
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def text(self) -> str:
        """Every text of the request's messages, for asserting what the model was shown."""
        return "\n".join(_texts(self.body.get("messages")))


class ScriptedApi:
    """The server; a context manager. `requests` holds what the sessions asked, `side_queries` the rest.

    `scripts` go to new sessions in order of arrival; with `by_prompt` a session whose first message holds a
    key gets the next script of that key instead, which keeps parallel sessions apart. Sessions beyond the
    script get an HTTP 500 that says so; `unscripted` counts them.
    """

    def __init__(self, *scripts: Script, by_prompt: Mapping[str, Sequence[Script]] | None = None) -> None:
        self.requests: list[Request] = []
        self.side_queries: list[Mapping[str, Any]] = []
        self.unscripted = 0
        self._scripts = list(scripts)
        self._by_prompt = {key: list(value) for key, value in (by_prompt or {}).items()}
        self._sessions: dict[str, tuple[int, Script]] = {}
        self._refused: dict[tuple[int, int], int] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def environment(self, home: Path, **extra: str) -> dict[str, str]:
        """The variables that point a claude CLI here, with a dummy key and `home` as its home."""
        return {
            "HOME": str(home),
            "ANTHROPIC_BASE_URL": self.url,
            "ANTHROPIC_API_KEY": "dummy",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            **extra,
        }

    def add(self, *scripts: Script) -> None:
        """Scripts for sessions still to come."""
        with self._lock:
            self._scripts.extend(scripts)

    def session(self, number: int) -> list[Request]:
        """The requests of one session, counted from 0."""
        with self._lock:
            return [request for request in self.requests if request.session == number]

    def __enter__(self) -> ScriptedApi:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, headers: Mapping[str, str], body: Mapping[str, Any]) -> tuple[str, Turn]:
        """The prefix for tool ids and the turn that a request gets."""
        if not body.get("tools"):
            with self._lock:
                self.side_queries.append(body)
            return "side", Say("ok")
        with self._lock:
            number, script = self._session_of(headers, body)
            turn = _answered_turns(body, number)
            self.requests.append(Request(number, turn, headers, body))
            reply = self._turn(number, turn, script)
        if isinstance(reply, Silence):
            self._closing.wait()
        return f"{number}_{turn}", reply

    def _session_of(self, headers: Mapping[str, str], body: Mapping[str, Any]) -> tuple[int, Script]:
        key = headers.get("x-claude-code-session-id") or json.dumps(body.get("metadata"), sort_keys=True)
        if key not in self._sessions:
            prompt = "\n".join(_texts(body.get("messages")))
            queue = next(
                (scripts for needle, scripts in self._by_prompt.items() if needle in prompt), self._scripts
            )
            if not queue:
                self.unscripted += 1
            script = (
                queue.pop(0) if queue else [Refusal(500, "api_error", "no script is left for this session")]
            )
            self._sessions[key] = (len(self._sessions), script)
        return self._sessions[key]

    def _turn(self, session: int, turn: int, script: Script) -> Turn:
        at = position = 0
        while position < len(script):
            reply = script[position]
            if isinstance(reply, Refusal) and reply.times is not None:
                refused = self._refused.get((session, position), 0)
                if at == turn and refused < reply.times:
                    self._refused[session, position] = refused + 1
                    return reply
            elif at == turn:
                return reply
            else:
                at += 1
            position += 1
        return Refusal(500, "api_error", f"no turn {turn} in the script of session {session}")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, api: ScriptedApi) -> None:
        self.api = api
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A CLI that was killed drops its connections; that is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self._send(200, b"", "text/plain")

    def do_GET(self) -> None:
        self._send_json(404, {"type": "error", "error": {"type": "not_found_error", "message": self.path}})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
        path = self.path.partition("?")[0]
        if path == "/v1/messages/count_tokens":
            self._send_json(200, {"input_tokens": 10})
        elif path == "/v1/messages":
            headers = {key.lower(): value for key, value in self.headers.items()}
            prefix, turn = self.server.api.answer(headers, body)
            self._reply(prefix, turn, stream=bool(body.get("stream")), model=str(body.get("model", MODEL)))
        else:
            self.do_GET()

    def _reply(self, prefix: str, turn: Turn, *, stream: bool, model: str) -> None:
        if isinstance(turn, Silence):
            self.close_connection = True
        elif isinstance(turn, Refusal):
            error = {"type": "error", "error": {"type": turn.kind, "message": turn.message}}
            self._send_json(turn.status, error, turn.headers)
        else:
            blocks = [turn] if isinstance(turn, Say | Use) else list(turn)
            message = _message(prefix, blocks, model)
            if stream:
                self._send(200, b"".join(_events(message)), "text/event-stream")
            else:
                self._send_json(200, message)

    def _send_json(self, status: int, body: object, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), "application/json", headers)

    def _send(self, status: int, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.send_header("request-id", "req_scripted")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def _message(prefix: str, blocks: Sequence[Block], model: str) -> dict[str, Any]:
    content: list[dict[str, Any]] = []
    for position, block in enumerate(blocks):
        if isinstance(block, Say):
            content.append({"type": "text", "text": block.text})
        else:
            tool = {"type": "tool_use", "id": f"toolu_{prefix}_{position}", "name": block.tool}
            content.append({**tool, "input": dict(block.input)})
    return {
        "id": f"msg_{prefix}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": "tool_use" if any(isinstance(block, Use) for block in blocks) else "end_turn",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 50},
    }


def _events(message: Mapping[str, Any]) -> Iterator[bytes]:
    def event(kind: str, **data: object) -> bytes:
        return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()

    yield event("message_start", message={**message, "content": [], "stop_reason": None})
    for index, block in enumerate(message["content"]):
        if block["type"] == "text":
            start: dict[str, Any] = {"type": "text", "text": ""}
            delta = {"type": "text_delta", "text": block["text"]}
        else:
            start = {**block, "input": {}}
            delta = {"type": "input_json_delta", "partial_json": json.dumps(block["input"])}
        yield event("content_block_start", index=index, content_block=start)
        yield event("content_block_delta", index=index, delta=delta)
        yield event("content_block_stop", index=index)
    stop = {"stop_reason": message["stop_reason"], "stop_sequence": None}
    yield event("message_delta", delta=stop, usage={"output_tokens": 50})
    yield event("message_stop")


def _answered_turns(body: Mapping[str, Any], session: int) -> int:
    """How many scripted turns the request has tool results for: the number of the turn that it asks for."""
    answered = [
        int(match[1]) + 1
        for block in _blocks(body.get("messages"))
        if block.get("type") == "tool_result"
        and (match := re.fullmatch(rf"toolu_{session}_(\d+)_\d+", str(block.get("tool_use_id"))))
    ]
    return max(answered, default=0)


def _blocks(messages: object) -> Iterator[Mapping[str, Any]]:
    for message in messages if isinstance(messages, list) else []:
        content = message.get("content")
        yield from (
            (block for block in content if isinstance(block, dict)) if isinstance(content, list) else ()
        )


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        yield from (text for text in [value.get("content")] if isinstance(text, str))
        yield from (found for inner in value.values() for found in _texts(inner))
    elif isinstance(value, list):
        yield from (found for inner in value for found in _texts(inner))


@pytest.fixture
def claude_api() -> Iterator[ScriptedApi]:
    """A server without scripts; `add` some before the CLI starts."""
    with ScriptedApi() as api:
        yield api
