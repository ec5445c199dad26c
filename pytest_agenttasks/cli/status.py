"""`agenttasks status`: what lies in the queue, what came of it, what was spent, and whether a run goes on."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

from .. import approvals, canary, checkpoint, pause, room
from ..history import History
from ..journal import Journal
from ..outcome import Kind, SetupError
from ..queue import Queue, names
from ..report.printable import one_line, printable
from ..runs import going_on
from ..settings.loading import load
from ..settings.records import FILE_NAME
from ..trees.repository import Repository, is_ancestor
from ..workbench import benches
from . import spent
from .place import open_place


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )


def run(args: argparse.Namespace) -> int:
    repository, queue = open_place(args.queue)
    found = gather(repository, queue, Journal(repository.home / "journal.jsonl").history)
    if args.json:
        print(json.dumps(found, indent=2))
    else:
        print(_text(found))
    return 0


def gather(repository: Repository, queue: Queue, history: History) -> dict[str, Any]:
    """The state of the queue as plain data; `spent_usd` is the sum over all recorded sessions."""
    pending = sorted(names(queue.pending))
    held = [
        name
        for name in pending
        if (done := history.landed.get(name)) and is_ancestor(repository, done.commit, "HEAD")
    ]
    waiting = [name for name in pending if name in history.passed and name not in held]
    landed = {
        name: history.landed[name].commit for name in sorted(names(queue.done)) if name in history.landed
    }
    failed = {}
    for name in sorted(names(queue.failed)):
        ended = history.ended.get(name)
        failed[name] = (
            f"{ended[-1].kind}: {ended[-1].summary}" if ended else "refused: see tasks/logs/orchestration.log"
        )
    return {
        "queue": str(queue.pending),
        "branch": (repository.branch() or "detached HEAD").removeprefix("refs/heads/"),
        "running": _running(repository, queue),
        "pending": [name for name in pending if name not in held and name not in waiting],
        "verified_not_landed": waiting,
        "held": held,
        "done": sorted(names(queue.done)),
        "landed": landed,
        "failed": failed,
        "by_hand": {bench.task: bench.path for bench in benches(repository)},
        "unguarded": [
            name for name in landed if (asked := history.guarded.get(name)) and asked.guarded == "no"
        ],
        "canary": _canary(repository),
        "review": _review(repository, queue, history),
        "pause": _pause(repository) or spent.used_up_today(history),
        "run": None if (run := spent.last_run(history)) is None else spent.as_data(run),
        "today": spent.as_data(spent.today(history)),
        "sessions": history.sessions,
        "spent_usd": round(history.spent_usd, 4),
    }


def _running(repository: Repository, queue: Queue) -> dict[str, Any] | None:
    """The run of this queue that goes on now, else one of another queue; None when there is none."""
    runs = going_on(repository)
    own = [known for known in runs if known.get("queue") == str(queue.pending)]
    return next(iter([*own, *runs]), None)


def _pause(repository: Repository) -> dict[str, Any] | None:
    """What every session waits for now; `until` is epoch seconds, None for room on the disk."""
    if (short := room.shortage(repository)) is not None:
        return {"kind": Kind.DISK.value, "why": short, "task": None, "until": None}
    if not (going_on := pause.known(repository)):
        return None
    known = max(going_on, key=lambda each: each.until)
    return {"kind": known.kind.value, "why": known.why, "task": known.task, "until": known.until}


def _review(repository: Repository, queue: Queue, history: History) -> dict[str, Any]:
    """What nobody has approved yet, the commit of the last approval, and why the next run would stop at once."""
    try:
        reviews = approvals.read(repository, queue)
        found = approvals.awaiting(repository, queue, history, reviews)
        since = checkpoint.oldest(history, found)
        due = checkpoint.due(load(repository.top / FILE_NAME).review, found, since, time.time())
    except SetupError as error:
        return {"landed": None, "failed": None, "up_to": None, "due": str(error)}
    up_to = approvals.approved_up_to(reviews)
    return {"landed": len(found.landed), "failed": len(found.failed), "up_to": up_to, "due": due}


def _canary(repository: Repository) -> dict[str, str] | None:
    """Whether a gate noticed when everything was broken, as the last run found it."""
    answer = canary.last(repository)
    return None if answer is None else {"guarded": answer.guarded, "why": answer.why}


def _text(found: dict[str, Any]) -> str:
    running = found["running"]
    lines = [f"{found['queue']} on branch {printable(found['branch'])}"]
    if running is not None:
        lines.append(f"  a run is going on (process {running.get('pid', 'unknown')})")
    if found["pause"] is not None:
        until, why = found["pause"]["until"], one_line(found["pause"]["why"], 200)
        at = "there is room" if until is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(until))
        lines.append(f"  no session begins before {at}: {why}")
    lines.append(
        f"  {len(found['pending'])} pending, {len(found['done'])} done, {len(found['failed'])} failed, "
        f"{len(found['held'])} held; {found['sessions']} sessions, ${found['spent_usd']:.2f}"
    )
    if found["run"] is not None:
        which = "the last run" if running is None else "this run"
        lines.append(f"  {which}: {spent.as_text(found['run'])}; today: {spent.as_text(found['today'])}")
    review = found["review"]
    if review["due"] is not None:
        lines.append(f"  {one_line(review['due'], 300)}")
    elif review["landed"] or review["failed"]:
        counts = f"{review['landed']} landed, {review['failed']} failed"
        lines.append(f"  not approved yet: {counts}; `agenttasks review` shows them")
    for name in found["verified_not_landed"]:
        lines.append(f"  {printable(name)}: verified, not landed yet; the next run goes on with it")
    if found["canary"] is not None:
        lines.append(
            f"  canary of the last run: {found['canary']['guarded']}, {one_line(found['canary']['why'])}"
        )
    for name in found["unguarded"]:
        lines.append(
            f"  {printable(name)}: landed unguarded: no gate was red with the files in its scope broken"
        )
    for name in found["held"]:
        lines.append(
            f"  {printable(name)}: held (its commit was reverted); `agenttasks requeue {name}` runs it again"
        )
    for name, why in found["failed"].items():
        lines.append(one_line(f"  {name}: {why}", 200))
    if found["failed"]:
        lines.append(
            "look closer: agenttasks show TASK; once mended: agenttasks requeue TASK; by hand: agenttasks open TASK"
        )
    for name, path in found["by_hand"].items():
        lines.append(f"  {printable(name)}: open in {printable(path)}; `agenttasks land {name}` lands it")
    return "\n".join(lines)
