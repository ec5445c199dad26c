"""What a session of Claude Code has cost that did not live to say so, estimated from the tokens that its stream tells.

The CLI's `result` says what a session cost. One that was cut has said of each of the model's messages how many tokens went
in; of those that came out only at the beginning of a message, so they are taken to be at least what its text is long.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .claude_stream import Lines, event_of

PRICES: tuple[tuple[str, float, float], ...] = (
    ("claude-opus-4-0", 15.0, 75.0),
    ("claude-opus-4-1", 15.0, 75.0),
    ("claude-opus-4-2025", 15.0, 75.0),
    ("claude-opus-4", 5.0, 25.0),
    ("claude-sonnet-4", 3.0, 15.0),
    ("claude-haiku-4", 1.0, 5.0),
    ("claude-3-5-haiku", 0.8, 4.0),
    ("claude-3-7-sonnet", 3.0, 15.0),
    ("claude-3-5-sonnet", 3.0, 15.0),
)
"""How a model's name begins → USD for a million tokens in, and out. The first that fits counts; of others nothing is known."""
CACHE_WRITE, CACHE_READ = 1.25, 0.1
"""Prices of tokens written to and read from the cache, as a share of that of tokens in."""
CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Cost:
    usd: float
    estimated: bool


@dataclass(slots=True)
class _Message:
    model: str
    usage: Mapping[str, Any]
    characters: int = 0


def cost_of_stream(file: Path) -> Cost | None:
    """What the session of this stream has cost so far; None where that cannot be told. Never raises for what is in it."""
    told: float | None = None
    messages: dict[str, _Message] = {}
    lines = Lines()
    try:
        with file.open("rb") as stream:
            read = [line for data in iter(lambda: stream.read(1 << 20), b"") for line in lines.feed(data)]
    except OSError:
        return None
    for line in (*read, *lines.close()):
        event = event_of(line) or {}
        message = event.get("message")
        if event.get("type") == "result" and _number(event.get("total_cost_usd")) is not None:
            told, messages = _number(event.get("total_cost_usd")), {}
        elif event.get("type") == "assistant" and isinstance(message, dict) and not event.get("error"):
            _add(messages, message)
    if told is None and not messages:
        return None
    costs = [_cost(message) for message in messages.values()]
    known = [cost for cost in costs if cost is not None]
    if len(known) < len(costs):
        return None
    return Cost((told or 0.0) + sum(known), estimated=bool(costs))


def _add(messages: dict[str, _Message], message: Mapping[str, Any]) -> None:
    usage = message.get("usage")
    if not isinstance(usage, dict):
        usage = {}
    known = messages.setdefault(str(message.get("id")), _Message(str(message.get("model")), usage))
    known.usage = usage or known.usage
    with suppress(ValueError, RecursionError):
        known.characters += len(json.dumps(message.get("content")))


def _cost(message: _Message) -> float | None:
    price = next(((i, o) for name, i, o in PRICES if message.model.startswith(name)), None)
    if price is None or not message.usage:
        return None

    def count(key: str) -> float:
        return _number(message.usage.get(key)) or 0.0

    into = (
        count("input_tokens")
        + CACHE_WRITE * count("cache_creation_input_tokens")
        + CACHE_READ * count("cache_read_input_tokens")
    )
    out = max(count("output_tokens"), message.characters / CHARACTERS_PER_TOKEN)
    return (into * price[0] + out * price[1]) / 1e6


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        return None
    return float(value)
