"""agenttasks.yaml and the command line, merged into one immutable record.

`load` refuses whatever it does not know, naming the file, the line, the key and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..outcome import SetupError
from . import checks as settings_checks
from . import explain, strict_yaml
from .records import AgentSettings, Settings


def load(file: Path, overrides: Mapping[str, object] | None = None) -> Settings:
    """The settings of `file` with `overrides` (dotted key → value, from the command line) on top.

    An agent named there goes without the `command` and `args` that the file has for another one. A
    missing file gives the defaults. Raises SetupError naming the file, line and key, and what is allowed.
    """
    document = _read(file)
    raw = {} if document.value is None else document.value
    if not isinstance(raw, dict):
        raise SetupError(
            f"{file}: expected keys and values, got {explain.found(raw)}; `agenttasks init` writes an example"
        )
    _leave_to_its_agent(raw, overrides or {})
    for dotted, value in (overrides or {}).items():
        _set(raw, dotted.split("."), value)
    _drop_empty(raw, Settings)
    try:
        settings = msgspec.convert(raw, Settings, dec_hook=explain.decode)
        flaw = next(settings_checks.flaws(settings), None)
    except msgspec.ValidationError as error:
        flaw = explain.explain(error, raw, Settings)
    if flaw is None:
        return settings
    if any(
        strict_yaml.dotted(flaw.place[:end]) in (overrides or {}) for end in range(1, len(flaw.place) + 1)
    ):
        raise SetupError(f"command line: {flaw.message}")
    line = document.line(flaw.place)
    raise SetupError(f"{file}:{line}: {flaw.message}" if line else f"{file}: {flaw.message}")


def _read(file: Path) -> strict_yaml.Document:
    try:
        with file.open("rb") as stream:
            data = stream.read(strict_yaml.MAX_BYTES + 1)
    except FileNotFoundError:
        data = b""
    except OSError as error:
        raise SetupError(f"{file}: cannot be read: {error.strerror}") from error
    try:
        return strict_yaml.parse(data)
    except strict_yaml.YamlError as error:
        raise SetupError(f"{file}:{error.line}: {error}" if error.line else f"{file}: {error}") from None


def _leave_to_its_agent(raw: dict[str, Any], overrides: Mapping[str, object]) -> None:
    """Take out what the file says of how its own agent is started, where the command line names another."""
    agent = raw.get("agent")
    if not isinstance(agent, dict) or "agent.name" not in overrides:
        return
    if (agent.get("name") or AgentSettings().name) != overrides["agent.name"]:
        for key in ("command", "args", "writable", "env_pass"):
            agent.pop(key, None)


def _set(raw: dict[str, Any], keys: list[str], value: object) -> None:
    """Put `value` where `keys` lead; what stands in the way stays, for validation to complain about."""
    for key in keys[:-1]:
        if raw.get(key) is None:
            raw[key] = {}
        if not isinstance(raw[key], dict):
            return
        raw = raw[key]
    raw[keys[-1]] = value


def _drop_empty(raw: dict[str, Any], kind: type[msgspec.Struct]) -> None:
    """Take out sections and lists of which nothing is left, as when all their entries are commented out."""
    for field in msgspec.structs.fields(kind):
        default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        value = raw.get(field.encode_name)
        if isinstance(default, msgspec.Struct) and isinstance(value, dict):
            _drop_empty(value, type(default))
        elif isinstance(default, msgspec.Struct | tuple | dict) and value is None:
            raw.pop(field.encode_name, None)
