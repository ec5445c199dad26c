"""The result records of a task's attempts, as its log folder has them: one JSON document an attempt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def recorded(folder: Path) -> list[dict[str, Any]]:
    """The documents of a task's log folder in order; of one that cannot be read, that is said in its place."""
    found = []
    for file in folder.glob("attempt-*.json"):
        number = file.stem.removeprefix("attempt-")
        if not number.isdigit():
            continue
        try:
            document = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(document, dict):
                raise ValueError("not a result record")
        except (OSError, ValueError) as error:
            document = {"outcome": "unknown", "summary": f"{file.name} cannot be read: {error}"}
        found.append({"outcome": "unknown", "summary": "", **document, "attempt": int(number)})
    return sorted(found, key=lambda attempt: int(attempt["attempt"]))
