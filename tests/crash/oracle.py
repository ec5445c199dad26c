"""What must be true once a run that died has been started again, found out from git, the files and /proc alone.

None of the plugin's code is used here: what recovers wrongly must not judge itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.attacks.oracle import _BOOKKEEPING
from tests.attacks.play import alive, fingerprint
from tests.crash.world import ADDS, FAILS, LANDS, MAX_ATTEMPTS, SCOPES, Ran, World

RECOVERED = re.compile(
    r"(?m)^.*(finished the landing|a landing had not begun|had landed as|kept what attempt|ended process \d+|"
    r"moved since; nothing was repaired|had not been judged|was verified and has not landed|ended the services).*$"
)
"""The lines that say what was recovered."""


def left_alive(world: World) -> list[str]:
    """The processes that do not go by themselves: workers whose controller was killed look for it a few times a second."""
    deadline = time.monotonic() + 10
    while (left := alive(world.marker)) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def lines_of_recovery(ran: Ran) -> list[str]:
    return [found.group(0) for found in RECOVERED.finditer(ran.output)]


def owed(world: World) -> list[str]:
    """What the next start has to say, by the journal that a death has left: parts of lines, each to be found."""
    forward, sessions = False, {}
    file = world.own / "journal.jsonl"
    for line in file.read_bytes().splitlines() if file.exists() else ():
        try:
            record = json.loads(line)
        except ValueError:  # torn
            continue
        match record.get("record"):
            case "forward" | "forwarded" | "withdrawn":
                forward = record["record"] == "forward"
            case "session-begins" | "attempt-ended":
                sessions[record["task"], record["attempt"]] = record["record"] == "session-begins"
    return ["a landing|the landing"] * forward + [task for (task, _), begun in sessions.items() if begun]


def unsaid(expected: Sequence[str], said: Sequence[str]) -> list[str]:
    return [
        f"nothing was said of {part}" for part in expected if not any(re.search(part, line) for line in said)
    ]


def users_files(world: World) -> Mapping[str, str]:
    """What is the user's alone: files that git does not track, the settings of git, branches but the one checked out."""
    own = re.compile(
        r"^(\.git/(index|logs|refs/heads/work|refs/heads|COMMIT_EDITMSG|ORIG_HEAD)|tasks(/.*)?)$|^\.git/logs/"
    )
    tracked = set(_git(world, "ls-files", "-z").split("\0"))
    folders = {str(parent) for path in tracked for parent in Path(path).parents}
    found = fingerprint(world.path)
    return {
        p: look for p, look in found.items() if p not in tracked and p not in folders and not own.match(p)
    }


def complaints(world: World, before: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Everything that is not as it must be after the last start. `expected`: task → `landed` or `failed`."""
    try:
        return _complaints(world, before, expected)
    except AssertionError as error:
        return [str(error)]


def _complaints(world: World, before: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    return [
        *_history(world, expected),
        *queue(world, expected),
        *_spent(world),
        *accounted(world),
        *status(world),
        *checkout(world, before),
        *kept(world),
        *repository_is_whole(world),
        *(f"a process is left: {process}" for process in left_alive(world)),
    ]


USUAL = {LANDS: "landed", FAILS: "failed", ADDS: "landed"}


def _git(world: World, *args: str, check: bool = True) -> str:
    done = subprocess.run(["git", *args], cwd=world.path, capture_output=True, check=False)
    if check and done.returncode:
        raise AssertionError(f"git {' '.join(args)}: {done.stderr.decode()}")
    return done.stdout.decode("utf-8", "surrogateescape")


def _history(world: World, expected: Mapping[str, str]) -> Iterator[str]:
    """Each task has landed once or not at all, within its scope; what else there is touches queue and memory only."""
    landed: dict[str, int] = {}
    for commit in _git(world, "rev-list", "--reverse", "base..HEAD").split():
        message = _git(world, "show", "-s", "--format=%B", commit)
        changed = [
            p
            for p in _git(world, "diff-tree", "-r", "-z", "--name-only", f"{commit}^", commit).split("\0")
            if p
        ]
        if "by the user" in message:
            continue
        named = re.findall(r"(?m)^Agent-Task: (\S+)$", message)
        for task in named:
            landed[task] = landed.get(task, 0) + 1
        scope = (
            (*SCOPES.get(named[0], ("more/",)), f"tasks/pending/{named[0]}.md", f"tasks/done/{named[0]}.md")
            if named
            else ()
        )
        for path in changed:
            within = any(path == entry or (entry.endswith("/") and path.startswith(entry)) for entry in scope)
            if not within and not (not named and _BOOKKEEPING.match(path)):
                yield f"{commit[:8]} ({' '.join(named) or 'bookkeeping'}) changes {path}"
    for task, outcome in expected.items():
        wanted = int(outcome == "landed")
        if landed.get(task, 0) != wanted:
            yield f"{task}: {landed.get(task, 0)} commits instead of {wanted}"
    if world.shape.memory:
        log = _git(world, "show", "HEAD:CLAUDE.md").partition("## Completed Tasks Log")[2]
        for task, outcome in expected.items():
            count = sum(task in line for line in log.splitlines())
            if count != (outcome == "landed"):
                yield f"{task} is {count} times in the log of completed tasks"


def _spent(world: World) -> Iterator[str]:
    """No task has had more sessions held against it than it may use up."""
    charged: dict[str, int] = {}
    for record in _records(world):
        if record.get("record") == "attempt-ended" and record["kind"] in ("scope", "gate", "accept", "agent"):
            charged[record["task"]] = charged.get(record["task"], 0) + 1
    yield from (
        f"{task} was charged {count} times" for task, count in charged.items() if count > MAX_ATTEMPTS
    )


def accounted(world: World) -> Iterator[str]:
    """Every session that was held is in the ledger, once, and has come to an end there."""
    started: Counter[tuple[str, int]] = Counter()
    going_on: dict[str, str] = {}
    for record in _records(world):
        match record["record"]:
            case "session-started":
                if record["owner"] in going_on:
                    yield f"the session of {going_on[record['owner']]} has no end in the journal"
                going_on[record["owner"]] = record["task"]
                started[record["task"], record["attempt"]] += 1
            case "session-ended":
                going_on.pop(record["of"], None)
    yield from (f"the session of {task} has no end in the journal" for task in going_on.values())
    for task, number, _ in world.sessions:
        if started[task, number] != 1:
            yield f"attempt {number} of {task} had a session and is {started[task, number]} times in the ledger"


def _records(world: World) -> Iterator[dict[str, Any]]:
    for line in (world.own / "journal.jsonl").read_bytes().splitlines():
        try:
            record = json.loads(line)
        except ValueError:  # torn
            continue
        yield record


def queue(world: World, expected: Mapping[str, str]) -> Iterator[str]:
    """Every task file is in one folder, the right one, under its own name."""
    for task, outcome in expected.items():
        places = sorted(
            str(path.relative_to(world.path / "tasks")) for path in world.path.glob(f"tasks/*/{task}*.md")
        )
        places = [place for place in places if not place.endswith(".report.md")]
        folder = {"landed": "done", "failed": "failed"}.get(outcome, outcome)
        if places != [f"{folder}/{task}.md"]:
            yield f"{task} is in {places} instead of {folder}"


def status(world: World) -> Iterator[str]:
    """Nothing that git tracks is changed and not committed."""
    lines = [line for line in _git(world, "status", "--porcelain").splitlines() if not line.startswith("??")]
    if lines:
        yield f"git status: {lines}"


def checkout(world: World, before: Mapping[str, str]) -> Iterator[str]:
    """What is the user's is as it was."""
    after = users_files(world)
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            yield f"the user's {path} was {str(before.get(path))[:80]} and is {str(after.get(path))[:80]}"


def kept(world: World) -> Iterator[str]:
    """What every session has written is in an attempt, and each attempt has its difference beside its logs."""
    shadow = f"--git-dir={world.own / 'shadow.git'}"
    if not (world.own / "shadow.git").is_dir():
        return
    listed = _git(world, shadow, "for-each-ref", "--format=%(refname) %(objectname)", "refs/attempts/")
    refs = dict(line.split() for line in listed.splitlines())
    for task, _, nonce in world.sessions:
        trees = [tree for ref, tree in refs.items() if ref.startswith(f"refs/attempts/{task}/")]
        found = trees and subprocess.run(
            ["git", shadow, "grep", "-q", "-F", "-e", nonce, *trees], cwd=world.path, capture_output=True, check=False
        ).returncode == 0  # fmt: skip
        aside = world.home.glob(f".local/state/agenttasks/*/kept/{task}.*")
        if not found and not any(_holds(folder, nonce) for folder in aside):
            yield f"what a session of {task} wrote is lost ({nonce})"
    for ref in refs:
        task, number = ref.removeprefix("refs/attempts/").rsplit("/", 1)
        file = world.path / f"tasks/logs/{task}/attempt-{number}.diff"
        worked = any(session[:2] == (task, int(number)) for session in world.sessions)
        if not file.exists() or (worked and not file.stat().st_size):
            yield f"attempt {number} of {task} has no diff"
    numbers = [(task, number) for task, number, _ in world.sessions]
    if len(set(numbers)) != len(numbers):
        yield f"two sessions had one number: {sorted(numbers)}"


def _holds(folder: Path, nonce: str) -> bool:
    return subprocess.run(["grep", "-rqF", nonce, str(folder)], check=False).returncode == 0


def repository_is_whole(world: World) -> Iterator[str]:
    for name, folder in (
        ("the repository", ".git"),
        ("the private repository", ".git/agenttasks/shadow.git"),
    ):
        done = subprocess.run(
            ["git", f"--git-dir={world.path / folder}", "fsck", "--strict", "--no-dangling"],
            cwd=world.path, capture_output=True, text=True, check=False,
        )  # fmt: skip
        said = [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("notice: ")]
        if done.returncode or said:
            yield f"git fsck of {name}: {said}"
    left = [
        os.path.relpath(os.path.join(folder, name), world.path)
        for folder, folders, names in os.walk(world.path / ".git")
        for name in names
        if re.search(r"\.lock$|^index\.agenttasks|tmp_obj", name)
        and "agenttasks" not in Path(folder).relative_to(world.path).parts[1:2]
    ]
    if left := [name for name in left if "tmp_obj" not in name]:
        yield f"left behind: {left}"
