"""A plan as plain values, for the workers of `-n`: files move while a run goes on, so none of them reads for itself."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ..queue import Queue
from ..settings import explain
from ..settings.records import Settings
from ..tasks.scope import Rules
from ..tasks.task import Problem, Task, parse
from .plan import Plan


def to_plain(plan: Plan) -> dict[str, Any]:
    """Bytes, texts, numbers, lists and dicts; texts that no UTF-8 may stand for as bytes, or as JSON in ASCII."""
    return {
        "pending": os.fsencode(plan.queue.pending),
        "relative": os.fsencode(plan.queue.relative),
        "tracked": plan.queue.tracked,
        "settings": json.dumps(msgspec.to_builtins(plan.settings, enc_hook=float)),
        "settings_file": os.fsencode(plan.settings_file),
        "typed": sorted(plan.typed),
        "rules": json.dumps(asdict(plan.rules)),
        "folder": plan.folder,
        "tasks": [_plain_task(task) for task in plan.tasks],
        "began": plan.began.isoformat(),
        "named": None if plan.named is None else [os.fsencode(name) for name in sorted(plan.named)],
    }


def from_plain(plain: Mapping[str, Any]) -> Plan:
    """What `to_plain` was given."""
    named = plain["named"]
    return Plan(
        queue=Queue(Path(os.fsdecode(plain["pending"])), os.fsdecode(plain["relative"]), plain["tracked"]),
        settings=msgspec.convert(json.loads(plain["settings"]), Settings, dec_hook=explain.decode),
        settings_file=Path(os.fsdecode(plain["settings_file"])),
        typed=frozenset(plain["typed"]),
        rules=_rules(json.loads(plain["rules"])),
        folder=plain["folder"],
        tasks=tuple(map(_task, plain["tasks"])),
        began=datetime.fromisoformat(plain["began"]),
        named=None if named is None else frozenset(map(os.fsdecode, named)),
    )


def _rules(plain: dict[str, Any]) -> Rules:
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()
    }
    return Rules(**values)


def _plain_task(task: Task) -> dict[str, Any]:
    problems = [(p.line, p.message.encode("utf-8", "surrogatepass"), p.hint) for p in task.problems]
    return {"path": os.fsencode(task.path), "data": task.data, "problems": problems}


def _task(plain: Mapping[str, Any]) -> Task:
    problems = [
        Problem(line, message.decode("utf-8", "surrogatepass"), hint)
        for line, message, hint in plain["problems"]
    ]
    return replace(parse(Path(os.fsdecode(plain["path"])), plain["data"]), problems=tuple(problems))
