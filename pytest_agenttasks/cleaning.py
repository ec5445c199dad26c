"""What may go: attempts, their logs and workspaces, once they are old and a person has seen what came of them.

Nothing of a task goes that is pending, that waits to be landed, or that nobody has approved since (`approvals.settled`).
Nothing goes that a process uses, or that a killed run has left to be stored by the next start.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import approvals, slots
from .history import History
from .owner import process_lives, slot_of
from .queue import Queue, names
from .report.eventlog import rotated
from .trees.attempts import attempts
from .trees.changes import shown
from .trees.git import GitError
from .trees.places import state_folder
from .trees.removal import mounts_below, remove
from .trees.repository import Repository
from .trees.shadow import Shadow

GRACE = 24 * 3600.0
"""Seconds that an object stays at least to which nothing refers: somebody may be about to."""
_PLACE = re.compile(r"(?:agent|gate|review|services)-(\d+)|trash-\d+")
_LOG = re.compile(r"attempt-(\d+)\..+")
_KEPT = re.compile(r"(.+?)\.(\d+)(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Item:
    """Something that goes: `what` is attempt, logs, workspace, kept (files that could not be stored) or events.

    `refs` are those of the private repository, with what they hold; `size` is in bytes, without their objects.
    """

    what: str
    name: str
    paths: tuple[Path, ...] = ()
    refs: tuple[tuple[str, str], ...] = ()
    size: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """`items` go; `stays` says what does not although it is old, and why. `roots` are objects in use that no ref holds;
    None: objects must stay, whatever they are."""

    items: tuple[Item, ...]
    stays: tuple[str, ...]
    roots: tuple[str, ...] | None


def plan(
    repository: Repository, queue: Queue, shadow: Shadow | None, history: History, before: float
) -> Plan:
    """What of before that moment (epoch seconds) may go. The caller keeps others from beginning anything.

    Raises SetupError for reviews that cannot be read.
    """
    stays: list[str] = []
    if shadow is not None:
        history.add_stored(attempts(shadow))
    settled = approvals.settled(repository, queue, history, approvals.read(repository, queue))
    settled -= _open_elsewhere(repository, queue, history)
    used = _used(repository, history)
    items = [
        *(_attempts(shadow, history, settled, before) if shadow is not None else ()),
        *_logs(queue, settled, before),
        *_workspaces(repository, shadow, used, before, stays),
        *_kept(state_folder(repository) / "kept", settled, before),
        *_events(queue, settled, before),
    ]
    if unseen := sorted(name for name in history.attempts if name not in settled):
        stays.append(f"{len(unseen)} tasks are pending, or wait for a review (`agenttasks review`)")
    roots: tuple[str, ...] | None = None
    if used or history.interrupted or history.services or history.forward is not None:
        stays.append("objects: a run goes on, or was killed; the next start mends that")
    elif shadow is not None:
        gone = {path for item in items for path in item.paths}
        roots = tuple(_roots(shadow, history, gone))
    return Plan(tuple(items), tuple(stays), roots)


def carry_out(wanted: Plan, shadow: Shadow | None, grace: float = GRACE) -> tuple[int, list[str]]:
    """Drop what is planned. The bytes of objects that are free now, and what could not be done."""
    troubles = []
    for item in wanted.items:
        try:
            for path in item.paths:
                remove(path)
            if item.refs and shadow is not None:
                lines = "".join(f"delete {ref} {object_id}\n" for ref, object_id in item.refs)
                shadow.git("update-ref", "--stdin", stdin=lines.encode("utf-8", "surrogateescape"))
        except (OSError, GitError) as error:
            troubles.append(f"{item.what} {item.name}: {error}")
    if shadow is None or wanted.roots is None:
        return 0, troubles
    before = size_of(shadow.objects)
    try:
        expire = "now" if not grace else f"{int(grace)}.seconds.ago"
        shadow.git("prune", f"--expire={expire}", "--", *wanted.roots)
    except GitError as error:  # something of an attempt was borrowed, and is gone from the user's repository
        troubles.append(f"objects stay: {error}")
    return max(before - size_of(shadow.objects), 0), troubles


def freed_objects(wanted: Plan, shadow: Shadow | None) -> int:
    """About how many bytes of objects only the planned attempts hold."""
    dropped = [object_id for item in wanted.items for _, object_id in item.refs]
    if shadow is None or wanted.roots is None or not dropped:
        return 0
    going = {ref for item in wanted.items for ref, _ in item.refs}
    staying = [object_id for ref, object_id in _refs(shadow) if ref not in going]
    asked = "".join(f"{name}\n" for name in dropped)
    asked += "".join(f"^{name}\n" for name in (*staying, *wanted.roots))
    try:
        listed = shadow.git("rev-list", "--objects", "--ignore-missing", "--stdin", stdin=asked.encode())
    except GitError:
        return 0
    names = (line.split(b" ")[0].decode("ascii") for line in listed.splitlines())
    return sum(size_of(shadow.objects / name[:2] / name[2:]) for name in names)


def size_of(path: Path) -> int:
    """Bytes that a file or folder takes on the disk; what cannot be read counts as nothing."""
    total = 0
    try:
        total += path.lstat().st_blocks * 512
    except OSError:
        return 0
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                try:
                    total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118
                except OSError:
                    continue
    return total


def _open_elsewhere(repository: Repository, queue: Queue, history: History) -> set[str]:
    """The names that tasks of the repository's other queues have, unless done: attempts know a task by its name alone."""
    others = (repository.top / relative for relative in history.queues - {queue.relative})
    folders = (folder for other in others if other.is_dir() for folder in other.iterdir() if folder.is_dir())
    return {name for folder in folders if folder.name != "done" for name in names(folder)}


def _used(repository: Repository, history: History) -> set[int]:
    """The slots whose places must stay: of living processes, and of dead ones that have left something in them."""
    found = slots.held(repository.home / "workers")
    found |= {slot_of(owner) for owner in history.interrupted}
    found |= {started.worker for started in history.services.values()}
    for owner, programs in history.programs.items():
        if any(process_lives(program.pid, program.started) for program in programs):
            found.add(slot_of(owner))
    return found


def _refs(shadow: Shadow) -> list[tuple[str, str]]:
    listed = shadow.line("for-each-ref", "--format=%(objectname) %(refname)", "refs/attempts/")
    return [(ref, object_id) for object_id, _, ref in (line.partition(" ") for line in listed.splitlines())]


def _attempts(shadow: Shadow, history: History, settled: Collection[str], before: float) -> Iterator[Item]:
    for ref, object_id in _refs(shadow):
        task, _, number = ref.removeprefix("refs/attempts/").rpartition("/")
        if task not in settled:
            continue
        ended = [record.at for record in history.ended.get(task, ()) if str(record.attempt) == number]
        if (max(ended) if ended else _changed(shadow.git_dir / ref)) < before:
            yield Item("attempt", f"{task} {number}", refs=((ref, object_id),))


def _logs(queue: Queue, settled: Collection[str], before: float) -> Iterator[Item]:
    for folder in _folders(queue.logs):
        if folder.name not in settled:
            continue
        numbers: dict[str, list[Path]] = {}
        for file in sorted(folder.iterdir()):
            if match := _LOG.fullmatch(file.name):
                numbers.setdefault(match[1], []).append(file)
        for number, files in sorted(numbers.items(), key=lambda found: int(found[0])):
            if max(map(_changed, files)) < before:
                size = sum(map(size_of, files))
                yield Item("logs", f"{folder.name} {number}", tuple(files), size=size)


def _workspaces(
    repository: Repository, shadow: Shadow | None, used: Collection[int], before: float, stays: list[str]
) -> Iterator[Item]:
    for folder in _folders(state_folder(repository)):
        match = _PLACE.fullmatch(folder.name)
        if match is None or (match[1] is not None and int(match[1]) in used):
            continue
        index = None if shadow is None else shadow.git_dir / f"{folder.name}.index"
        last = [_changed(folder), *(_changed(inner) for inner in _folders(folder))]
        if max([*last, *([_changed(index)] if index is not None else [])]) >= before:
            continue
        if mounted := mounts_below(folder):
            stays.append(f"workspace {folder.name}: something is mounted in it, at {mounted[0]}")
            continue
        paths = (folder, *([index] if index is not None and index.exists() else []))
        yield Item("workspace", folder.name, paths, size=sum(map(size_of, paths)))


def _kept(folder: Path, settled: Collection[str], before: float) -> Iterator[Item]:
    """What could not be stored: only the task's name says whose it is."""
    for kept in _folders(folder):
        match = _KEPT.fullmatch(kept.name)
        if match is not None and match[1] in settled and _changed(kept) < before and not mounts_below(kept):
            yield Item("kept", kept.name, (kept,), size=size_of(kept))


def _events(queue: Queue, settled: Collection[str], before: float) -> Iterator[Item]:
    """Old parts of the event log in which nothing but settled tasks is told of."""
    for file in rotated(queue.logs / "orchestration.log"):
        if _changed(file) < before and _tasks_in(file) <= set(settled):
            yield Item("events", file.name, (file,), size=size_of(file))


def _tasks_in(file: Path) -> set[str]:
    found = set()
    with file.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            words = line.split(" ", 3)
            if len(words) > 2 and words[2].strip() != "-":
                found.add(words[2].strip())
    return found


def _roots(shadow: Shadow, history: History, gone: Collection[Path]) -> Iterator[str]:
    """What verified results and the indexes of workspaces hold, where it is there."""
    wanted = {name for passed in history.passed.values() for name in (passed.new, passed.commit, passed.old)}
    if wanted:
        asked = "".join(f"{name}\n" for name in sorted(wanted)).encode()
        for line in shadow.git("cat-file", "--batch-check", stdin=asked).decode().splitlines():
            name, _, rest = line.partition(" ")
            if rest != "missing":
                yield name
    for index in sorted(shadow.git_dir.glob("*.index")):
        if index in gone:
            continue
        with tempfile.TemporaryDirectory(dir=shadow.git_dir) as folder:
            copy = Path(folder) / "index"  # git would write into it
            shutil.copyfile(index, copy)
            yield shadow.git("write-tree", "--missing-ok", index=copy).decode().strip()


def _folders(folder: Path) -> Sequence[Path]:
    try:
        found = [Path(entry) for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return ()
    return sorted(found)


def _changed(path: Path) -> float:
    """When it was last written to; of what is not there: never."""
    try:
        return path.lstat().st_mtime
    except OSError:
        return 0.0


def described(item: Item) -> str:
    """One line for people."""
    return f"{item.what} {shown(os.fsencode(item.name))}"
