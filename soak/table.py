"""The figures of both plays beside each other."""

from __future__ import annotations

from collections import Counter

from benchmarks.tables import count, table

from .faults import OUTAGES
from .oracle import Findings
from .played import Played


def figures(played: Played, findings: Findings) -> list[tuple[str, str]]:
    sessions = len(played.ledger.sessions())
    causes = Counter(cause or "not known" for cause in findings.failed.values())
    refused = Counter(
        line["what"] for line in played.ledger.lines("deeds.jsonl") if line["what"] in set(OUTAGES)
    )
    kills = sum(number for what, number in played.disturbed.items() if "killed" in what)
    return [
        ("tasks landed", count(len(findings.landed))),
        ("tasks failed", count(len(findings.failed))),
        ("… why", ", ".join(f"{cause} {number}" for cause, number in causes.most_common()) or "-"),
        ("… with an agent at fault in fewer than two sessions", count(len(findings.charged_to_nobody))),
        ("… by outages alone", count(len(findings.failed_by_outages))),
        ("tasks blocked by those", count(len(findings.blocked))),
        ("commits red on gating again", count(len(findings.red))),
        ("changes out of scope", count(len(findings.out_of_scope))),
        ("tasks done without their change", count(len(findings.hollow))),
        ("tasks lost, or landed twice", count(len(findings.lost_tasks))),
        ("user's files or edits lost", count(len(findings.lost_files))),
        (
            "attempts of which something is lost",
            count(len({entry.partition(":")[0] for entry in findings.lost_attempts})),
        ),
        ("processes that outlived their session", count(len(findings.outlived))),
        ("processes alive at the end", count(len(findings.alive))),
        ("sessions", count(sessions)),
        ("sessions for a landed task", f"{sessions / max(len(findings.landed), 1):.2f}"),
        ("sessions refused by the service", count(refused.total())),
        ("SIGKILLs", count(kills)),
        ("starts", count(played.starts)),
        ("memory at most", _size(played.memory_peak)),
        ("the longest start", f"{played.longest_start / 60:.1f} min" if played.longest_start else "-"),
        ("… its memory, last fifth over second", _size(played.memory_growth, sign=True)),
        ("time", f"{played.seconds / 60:.1f} min"),
    ]


def beside(columns: list[tuple[str, list[tuple[str, str]]]]) -> str:
    """One Markdown table of several plays' figures."""
    rows = [
        (rows_of[0][0], *(value for _, value in rows_of))
        for rows_of in zip(*(rows for _, rows in columns), strict=True)
    ]
    return table(("", *(title for title, _ in columns)), rows)


def _size(size: int, *, sign: bool = False) -> str:
    return "-" if not size else f"{size / 2**20:{'+' if sign else ''}.0f} MiB"
