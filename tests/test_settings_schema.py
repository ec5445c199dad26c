"""The JSON schema of agenttasks.yaml, and that it agrees with the reader."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pytest_agenttasks.settings.records import Settings
from pytest_agenttasks.settings.schema import schema
from pytest_agenttasks.settings.strict_yaml import parse
from tests.settings_texts import CONTRACT, Read, message, reader


@pytest.fixture
def read(tmp_path: Path) -> Read:
    return reader(tmp_path / "agenttasks.yaml")


def conforms(value: Any, rule: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether a JSON schema's rule allows a value; fails for a keyword that it does not know."""
    types = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)}
    for keyword, says in rule.items():
        match keyword:
            case "$ref":
                good = conforms(value, whole["$defs"][says.rpartition("/")[2]], whole)
            case "anyOf":
                good = any(conforms(value, each, whole) for each in says)
            case "oneOf":
                good = sum(conforms(value, each, whole) for each in says) == 1
            case "enum":
                good = value in says
            case "type" if says in ("integer", "number"):
                good = isinstance(value, int if says == "integer" else int | float) and not isinstance(
                    value, bool
                )
            case "type":
                good = isinstance(value, types[says])
            case "properties":
                good = all(conforms(value[key], each, whole) for key, each in says.items() if key in value)
            case "additionalProperties" if says is False:
                good = set(value) <= set(rule["properties"])
            case "additionalProperties":
                good = all(conforms(each, says, whole) for each in value.values())
            case "required":
                good = set(says) <= set(value)
            case "items":
                good = all(conforms(each, says, whole) for each in value)
            case "minItems" | "minLength":
                good = len(value) >= says
            case "minimum":
                good = value >= says
            case "maximum":
                good = value <= says
            case "exclusiveMinimum":
                good = value > says
            case "pattern":
                good = re.search(says, value) is not None
            case "title" | "description" | "default" | "$schema" | "$defs":
                good = True
            case _:
                raise AssertionError(f"unknown keyword {keyword}")
        if not good:
            return False
    return True


def test_the_schema_allows_the_contracts_example() -> None:
    document = json.loads(json.dumps(schema()))
    assert conforms(parse(CONTRACT).value, document, document)


@pytest.mark.parametrize(
    "text",
    [
        "wait: 0",
        "retry_delay: 1.5h",
        "agent: {command: [a, b], env: {A: b}}",
        "until: 6:30",
        "{}",
        "gates: [{name: a, agent: claude, model: x, max_turns: 3, budget_usd: 1, timeout: 5m, instructions: y}]",
        "gates: [{name: a, run: x, agent: null}]",
    ],
)
def test_the_schema_allows_what_load_allows(read: Read, text: str) -> None:
    document = schema()
    assert conforms(parse(text).value, document, document)
    read(text)


@pytest.mark.parametrize(
    "text",
    [
        "agent: {nam: x}",
        "max_attempts: 0",
        "gates: [{name: a}]",
        "gates: [{name: a, run: x, agent: claude}]",
        "gates: [{name: a, agent: command}]",
        "retry_delay: 5x",
        "sandbox: docker",
        "until: 24:00",
        "drop: x",
    ],
)
def test_the_schema_refuses_what_load_refuses(read: Read, text: str) -> None:
    document = schema()
    assert not conforms(parse(text).value, document, document)
    message(read, text)


def test_the_schema_says_what_each_key_is_for_and_its_default() -> None:
    document = schema()
    sections = {"agent", "workspace", "memory", "commit", "review", "budget", "limits"}
    for name, kind in document["$defs"].items():
        for key, rule in kind["properties"].items():
            assert key in sections or rule.get("description"), f"{name}.{key} has no description"
            required = {
                *kind.get("required", ()),
                *(k for each in kind.get("oneOf", ()) for k in each["required"]),
            }
            assert key in sections or "default" in rule or key in required, f"{name}.{key} has no default"
    assert document["$defs"]["AgentSettings"]["properties"]["timeout"]["default"] == "1h"
    assert document["$defs"]["AgentSettings"]["properties"]["stall_timeout"]["default"] == "12m"


def test_every_default_of_the_schema_is_the_default(read: Read) -> None:
    for name, kind in schema()["$defs"].items():
        section = {"Settings": "", "GateSettings": None}.get(name, name.removesuffix("Settings").lower())
        for key, rule in kind["properties"].items() if section is not None else ():
            if "default" in rule:
                value = json.dumps(rule["default"])
                assert read(f"{section}: {{{key}: {value}}}" if section else f"{key}: {value}") == Settings()
