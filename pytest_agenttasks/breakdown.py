"""The outcome of an attempt in which something broke that no step has a word for."""

from __future__ import annotations

import errno
import traceback

from .outcome import Kind, Outcome
from .processes.supervisor import SupervisorLost
from .report.printable import one_line
from .trees.git import GitError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def unsupervised(lost: SupervisorLost, *, verified: bool, begun: bool, session: bool) -> Outcome:
    """The supervisor was killed: before the session had `begun`, in a `session`, by a gate (whatever it runs can do that),
    or after the result was verified."""
    evidence = str(lost)
    if not begun and not verified:
        return Outcome(
            Kind.BASE_RED,
            "the process that supervises programs was killed before the session, while a command ran on the base",
            evidence=evidence,
            advice="a gate, an `accept` command or `workspace.setup` ends processes that are not its own: mend that",
        )
    if verified:
        what = "the process that supervises programs was killed; the verified result is kept for the next attempt"
        return Outcome(Kind.REVIEW, what, evidence=evidence)
    if session:
        what = "the process that supervises the session was killed; nothing of this attempt is trusted"
        return Outcome(Kind.AGENT, what, evidence=evidence)
    return Outcome(Kind.GATE, "the process that supervises gates was killed while one ran", evidence=evidence)


def broken(error: Exception) -> Outcome:
    if isinstance(error, OSError) and error.errno in NO_SPACE:
        return Outcome(
            Kind.DISK, f"no space left: {error.filename or ''}", advice="free some space, then start again"
        )
    if isinstance(error, GitError) and "No space left on device" in error.stderr:
        return Outcome(
            Kind.DISK,
            "no space left for git",
            evidence=error.stderr,
            advice="free some space, then start again",
        )
    return Outcome(
        Kind.INTERNAL,
        one_line(f"{type(error).__name__}: {error}"),
        evidence="".join(traceback.format_exception(error)),
    )
