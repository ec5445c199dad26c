"""The JSON schema of agenttasks.yaml."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec

from .durations import ALLOWED as DURATION_ALLOWED
from .durations import PATTERN as DURATION_PATTERN
from .durations import Seconds, short_duration
from .records import FILE_NAME, GateSettings, Record, Settings
from .sizes import ALLOWED as SIZE_ALLOWED
from .sizes import PATTERN as SIZE_PATTERN
from .sizes import Bytes


def schema() -> dict[str, Any]:
    """The JSON schema of agenttasks.yaml, for editors."""
    document = msgspec.json.schema(Settings, schema_hook=_schema)
    kinds: list[type[Record]] = Record.__subclasses__()
    for kind in kinds:
        properties = document["$defs"].get(kind.__name__, {}).get("properties", {})
        for field in msgspec.structs.fields(kind):
            if isinstance(field.default_factory, partial) and field.default_factory.func is Seconds:
                properties[field.encode_name]["default"] = short_duration(field.default_factory())
    gate = document["$defs"][GateSettings.__name__]
    gate["oneOf"] = [
        {"required": ["run"]},
        {"required": ["agent"], "properties": {"agent": {"type": "string"}}},
    ]
    del gate["properties"]["run"]["default"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": FILE_NAME, **document}


def _schema(kind: type) -> dict[str, Any]:
    if kind is Seconds:
        options = [{"type": "number", "minimum": 0}, {"type": "string", "pattern": DURATION_PATTERN}]
        return {"anyOf": options, "description": DURATION_ALLOWED}
    if kind is Bytes:
        return {"type": "string", "pattern": SIZE_PATTERN, "description": SIZE_ALLOWED}
    raise NotImplementedError(kind)
