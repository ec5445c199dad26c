"""The outcome of an attempt in which something broke that no step has a word for."""

from __future__ import annotations

import errno
import traceback

from .outcome import Kind, Outcome
from .report.printable import one_line
from .trees.git import GitError

NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


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
