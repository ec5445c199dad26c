"""The PreToolUse hook of a claude session: an edit that could not land is refused at once, with the reason.

Early feedback, not the contract: it sees the file tools only, and the check of the resulting tree decides. A
script, started by the CLI for each such call with the rules' file as its argument; the CLI counts what it
refuses among the session's permission denials.
"""

from __future__ import annotations

import json
import os
import shlex
import stat
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":  # last on the path: whatever lies beside the package shadows nothing
    sys.path.append(str(Path(__file__).resolve().parent.parent))

from pytest_agenttasks.tasks.scope import Rules, judge
from pytest_agenttasks.tasks.task import ScopeEntry
from pytest_agenttasks.trees.changes import ABSENT_MODE, Change

TOOLS = "Edit|Write|MultiEdit|NotebookEdit"
_REGULAR = "100644"


REFUSALS = "agenttasks-refused.jsonl"
"""The hook's own list, in the session's temporary folder: a sandboxed session can write nowhere else."""
MOST_KEPT = 1024 * 1024
"""Bytes of it."""


def write_rules(
    file: Path, *, workspace: Path, tmp: Path, scope: Sequence[ScopeEntry], allow_tests: bool, rules: Rules
) -> None:
    """Put down what the hook needs to know of one session."""
    document = {
        "workspace": os.path.realpath(workspace),
        "tmp": os.path.realpath(tmp),
        "scope": [entry.pattern for entry in scope],
        "allow_tests": allow_tests,
        "rules": {
            "protected": rules.protected,
            "tests": rules.tests,
            "queue": rules.queue,
            "memory_file": rules.memory_file,
            "settings_file": rules.settings_file,
            "drop": rules.drop,
        },
    }
    file.write_text(json.dumps(document), encoding="utf-8")


def session_settings(rules_file: Path) -> str:
    """The value of `--settings` that puts the hook into a session."""
    command = shlex.join([sys.executable, "-I", str(Path(__file__).resolve()), str(rules_file)])
    hook = {"matcher": TOOLS, "hooks": [{"type": "command", "command": command, "timeout": 30}]}
    return json.dumps({"hooks": {"PreToolUse": [hook]}})


def refused(rules_file: Path, tmp: Path) -> int:
    """How many calls the hook has refused in this session, also in one that was cut short.

    The hook's list, in the session's own temporary folder, goes beside `attempt-1.guard.json` as
    `attempt-1.refused.jsonl`; a session may have put anything in its place.
    """
    try:
        handle = os.open(tmp / REFUSALS, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        data = os.read(handle, MOST_KEPT) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    finally:
        os.close(handle)
    if data:
        rules_file.with_name(f"{rules_file.name.partition('.')[0]}.refused.jsonl").write_bytes(data)
    return data.count(b"\n")


def refusal(document: dict[str, object], call: dict[str, object]) -> str | None:
    """Why this tool call could not land, None when it may go on."""
    given = call.get("tool_input")
    named = (given.get("file_path") or given.get("notebook_path")) if isinstance(given, dict) else None
    if not isinstance(named, str) or not named:
        return None
    top = str(document["workspace"])
    path = os.path.normpath(os.path.join(str(call.get("cwd") or top), named))
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if _inside(real, str(document["tmp"])):
        return None
    if not _inside(real, top):
        return f"{named}: outside the workspace; only files of the task's scope can be changed"
    relative = os.path.relpath(real, top)
    there = os.path.lexists(real)
    change = Change(os.fsencode(relative), _REGULAR if there else ABSENT_MODE, _REGULAR, "1", "2")
    entries = [ScopeEntry(str(pattern), 0) for pattern in _list(document["scope"])]
    rules = document["rules"]
    assert isinstance(rules, dict)
    tests = rules["tests"]
    verdict = judge(
        entries,
        bool(document["allow_tests"]),
        Rules(
            protected=tuple(rules["protected"]),
            tests=None if tests is None else tuple(tests),
            queue=rules["queue"],
            memory_file=rules["memory_file"],
            settings_file=rules["settings_file"],
            drop=tuple(rules["drop"]),
        ),
        [change],
    )
    if not verdict.violations:
        return None
    allowed = ", ".join(entry.pattern for entry in entries[:20])
    return f"{relative}: {verdict.violations[0].reason}. This task may change: {allowed}"


def _inside(path: str, folder: str) -> bool:
    return path.startswith(folder.rstrip("/") + "/")


def _list(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def main(rules_file: Path) -> None:
    """Answer one call on stdin, and keep count of what is refused."""
    call = json.load(sys.stdin)
    document = json.loads(rules_file.read_text(encoding="utf-8"))
    reason = refusal(document, call)
    if reason is None:
        return
    line = json.dumps({"tool": call.get("tool_name"), "reason": reason}) + "\n"
    refusals = Path(document["tmp"], REFUSALS)
    with suppress(OSError), refusals.open("ab", buffering=0) as file:  # the refusal matters more
        file.write(line.encode())
    answer = {
        "hookEventName": "PreToolUse",
        "permissionDecision": "deny",
        "permissionDecisionReason": reason,
    }
    sys.stdout.write(json.dumps({"hookSpecificOutput": answer}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
