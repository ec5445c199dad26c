"""A session's event stream as a Markdown page that a person can read."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from ..agents.claude_stream import Lines, describe_call, event_of
from .printable import one_line, printable

LONGEST_BLOCK = 8 * 1024
LONGEST_PAGE = 4 * 1024 * 1024


def write_transcript(stream: Path, page: Path, title: str) -> None:
    """Write the readable form of the file `stream` to `page`; long blocks and a very long page are cut."""
    with stream.open("rb") as source, page.open("w", encoding="utf-8") as target:
        size = 0
        for part in transcript(_lines(source), title):
            size += len(part)
            if size > LONGEST_PAGE:
                target.write(f"\n*The page ends here; the rest is in `{stream.name}`.*\n")
                break
            target.write(part)


def transcript(lines: Iterable[bytes], title: str) -> Iterator[str]:
    """The page in parts, one for each event. Lines that are no events are shown as they are."""
    yield f"# {one_line(title)}\n"
    events = ((event_of(line), line) for line in lines if line.strip())
    for plain, group in groupby(events, key=lambda pair: pair[0] is None):
        if plain:
            yield _fenced(b"\n".join(line for _, line in group).decode("utf-8", "replace"))
        else:
            for event, _ in group:
                yield from _event(event or {})


def _lines(source: Iterable[bytes]) -> Iterator[bytes]:
    lines = Lines()
    for data in source:
        yield from lines.feed(data)
    yield from lines.close()


def _event(event: Mapping[str, Any]) -> Iterator[str]:
    within = " (in a subagent)" if event.get("parent_tool_use_id") is not None else ""
    match event.get("type"), event.get("subtype"):
        case "system", "init":
            facts = (("Session", "session_id"), ("model", "model"), ("version", "claude_code_version"))
            known = ", ".join(f"{name} `{_code(event[key])}`" for name, key in facts if event.get(key))
            yield f"\n{known}\n"
        case "system", "api_retry":
            status = event.get("error_status") or "no answer"
            count = f"{event.get('attempt')}/{event.get('max_retries')}"
            yield _aside(f"API retry {count}: {event.get('error')} ({status})")
        case "rate_limit_event", _:
            info = event.get("rate_limit_info")
            if isinstance(info, dict) and info.get("status") != "allowed":
                yield _aside(f"Usage limit {info.get('rateLimitType')}: {info.get('status')}")
        case "assistant", _:
            for block in _content(event):
                yield from _said(block, within)
        case "user", _:
            for block in _content(event):
                yield from _received(block, within)
        case "result", _:
            yield from _end(event)


def _said(block: Mapping[str, Any], within: str) -> Iterator[str]:
    match block.get("type"):
        case "text":
            yield f"\n## Agent{within}\n\n{_cut(str(block.get('text', '')))}\n"
        case "thinking":
            yield f"\n## Thought{within}\n\n{_quoted(_cut(str(block.get('thinking', ''))))}\n"
        case "tool_use":
            arguments = block.get("input")
            arguments = arguments if isinstance(arguments, dict) else {}
            yield f"\n### `{_code(describe_call(str(block.get('name')), arguments))}`{within}\n"
            yield from _arguments(arguments)


def _arguments(arguments: Mapping[str, Any]) -> Iterator[str]:
    match arguments:
        case {"old_string": str(old), "new_string": str(new)}:
            removed = [f"-{line}" for line in _cut(old).splitlines()]
            added = [f"+{line}" for line in _cut(new).splitlines()]
            yield _fenced("\n".join(removed + added), "diff")
        case {"command": str(command)}:
            yield _fenced(command, "sh")
        case {"content": str(content)}:
            yield _fenced(content)
        case _ if arguments:
            yield _fenced(_json(arguments), "json")


def _json(value: object) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:
        return "(nested too deeply to show)"


def _received(block: Mapping[str, Any], within: str) -> Iterator[str]:
    if block.get("type") == "tool_result":
        heading = "Refused or failed" if block.get("is_error") is True else "Result"
        yield f"\n{heading}{within}:\n{_fenced(_text_of(block.get('content')))}"
    elif block.get("type") == "text":
        yield f"\n## Told{within}\n\n{_quoted(_cut(str(block.get('text', ''))))}\n"


def _end(event: Mapping[str, Any]) -> Iterator[str]:
    facts = [str(event.get("subtype"))]
    if event.get("is_error") is True:
        facts.append(f"API status {event['api_error_status']}" if event.get("api_error_status") else "error")
    facts.append(f"{event.get('num_turns')} turns")
    if denials := _list(event.get("permission_denials")):
        facts.append(f"{len(denials)} refused")
    if isinstance(cost := event.get("total_cost_usd"), float):
        facts.append(f"{cost:.4f} USD")
    yield f"\n## End: {one_line(', '.join(facts))}\n"
    if event.get("is_error") is True and isinstance(event.get("result"), str):
        yield f"\n{_quoted(_cut(event['result']))}\n"
    for error in _list(event.get("errors")):
        yield _aside(str(error))
    for denial in _list(event.get("permission_denials")):
        if isinstance(denial, dict):
            arguments = denial.get("tool_input")
            call = describe_call(
                str(denial.get("tool_name")), arguments if isinstance(arguments, dict) else {}
            )
            yield _aside(f"not allowed: `{_code(call)}`")


def _content(event: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    message = event.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    yield from (block for block in _list(content) if isinstance(block, dict))


def _text_of(content: object) -> str:
    if isinstance(content, str):
        return content
    blocks = (block for block in _list(content) if isinstance(block, dict))
    return "\n".join(str(block.get("text", f"[{block.get('type')}]")) for block in blocks)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    text = _cut(text).rstrip("\n")
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"\n{fence}{language}\n{text}\n{fence}\n"


def _quoted(text: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def _aside(text: str) -> str:
    return f"\n> {one_line(text, 500)}\n"


def _code(value: object) -> str:
    return one_line(str(value)).replace("`", "'")


def _cut(text: str) -> str:
    """Printable, and with the middle left out of what is too long to read."""
    if len(text) <= LONGEST_BLOCK:
        return printable(text)
    half = LONGEST_BLOCK // 2
    left_out = f"[… {len(text) - 2 * half:,} characters left out]"
    return f"{printable(text[:half])}\n{left_out}\n{printable(text[-half:])}"
