"""`agenttasks verify [RANGE]`: from git alone, whether every task commit is in scope and green when gated again."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .. import gates
from ..outcome import SetupError
from ..report.printable import one_line, printable
from ..run import NoExtensions, open_run
from ..runs import run_lock
from ..settings.loading import load
from ..settings.records import FILE_NAME
from ..trees.git import GitError
from ..verification import Finding, Sort, commits, verify
from .place import open_place

LOGS = "_verify"
"""The folder among the tasks' logs; no task can have this name."""
SHOWN = 20
"""Lines of a red gate's output."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "range", nargs="?", metavar="RANGE", help="such as main..HEAD (default: every commit of the branch)"
    )
    parser.add_argument("--json", action="store_true", help="one JSON document")
    parser.add_argument(
        "--queue", type=Path, metavar="PATH", help="the queue folder (default: tasks/pending)"
    )


def run(args: argparse.Namespace) -> int:
    """0 when every task commit of the range is as it should be, 1 when one is not, 5 when there is none."""
    repository, queue = open_place(args.queue)
    file = repository.top / FILE_NAME
    settings = load(file)
    if not gates.shell(settings.gates):
        raise SetupError(
            f"{file}: no gate, so nothing can be verified; `agenttasks init` writes the gates it finds"
        )
    try:
        chosen = commits(repository, args.range or "HEAD")
    except GitError as error:
        raise SetupError(f"{args.range}: git knows no such range: {error.stderr.strip()}") from error
    with run_lock(repository, queue):
        # A check of somebody else's pull request looks at a commit, on no branch.
        branch = repository.branch() or "refs/heads/verify"
        opened = open_run(repository, queue, settings, file, NoExtensions(), branch=branch)
        try:
            findings = []
            for finding in verify(opened, chosen, queue.logs / LOGS):
                findings.append(finding)
                if not args.json and (finding.sort is Sort.TASK or not finding.ok):
                    print(_line(finding), flush=True)
        finally:
            opened.close()
    held = [gate.name for gate in settings.gates if gate.agent]
    if held and not args.json:
        print(f"not repeated: {', '.join(held)} (reviews are held once, before a commit lands)")
    return _conclude(findings, args.json)


def _conclude(findings: list[Finding], as_json: bool) -> int:
    tasks = [finding for finding in findings if finding.sort is Sort.TASK]
    bad = [finding for finding in findings if not finding.ok]
    if as_json:
        print(
            json.dumps(
                {
                    "commits": [_record(finding) for finding in findings],
                    "task_commits": len(tasks),
                    "bad": len(bad),
                }
            )
        )
    else:
        red = sum(1 for finding in tasks if finding.red)
        strays = sum(1 for finding in findings if finding.problems)
        others = sum(1 for finding in findings if finding.sort is Sort.OTHER)
        print(
            f"{len(findings)} commits: {len(tasks)} of tasks, {len(findings) - len(tasks) - others} bookkeeping, "
            f"{others} others; {strays} out of scope, {red} red"
        )
    if bad:
        return 1
    return 0 if tasks else 5


def _record(finding: Finding) -> dict[str, Any]:
    commit = finding.commit
    return {
        "commit": commit.id, "task": commit.task, "sort": finding.sort.value, "problems": list(finding.problems),
        "red": finding.red, "evidence": printable(finding.evidence), "note": finding.note,
    }  # fmt: skip


def _line(finding: Finding) -> str:
    word = "ok" if finding.ok else "BAD"
    lines = [
        one_line(f"{word:3} {finding.commit.id[:10]} {finding.commit.task or finding.commit.subject}", 120)
    ]
    lines += [
        one_line(f"      {problem}", 300)
        for problem in (*finding.problems, *filter(None, [finding.red, finding.note]))
    ]
    lines += [f"      | {line}" for line in printable(finding.evidence).splitlines()[-SHOWN:]]
    return "\n".join(lines)
