"""A note of a person's at the end of a task file, for the next session."""

from __future__ import annotations

from pathlib import Path

from .outcome import SetupError
from .tasks.markdown import headings, lines_of
from .tasks.task import parse

HEADING = "## Reviewer's note"


def with_note(file: Path, data: bytes, note: str) -> bytes:
    """The task file's text with `note` under the last heading, which is made the note's; as it is where that is there.

    Raises SetupError where the note would change what the task says otherwise, such as its scope.
    """
    end = b"\r\n" if b"\r\n" in data else b"\n"
    added = note.strip().encode("utf-8", "replace").replace(b"\r\n", b"\n").replace(b"\n", end) + end
    text = data if data.endswith(end) else data + end
    before = parse(file, data)
    open_ = headings(lines_of(before.text))
    if open_ and f"## {open_[-1].name}" == HEADING:
        noted = text if text.endswith(end + added) else text + end + added
    else:
        noted = text + end + HEADING.encode() + end + added
    after = parse(file, noted)
    if (after.title, after.permits, after.refused) != (before.title, before.permits, before.refused):
        raise SetupError(
            f"{file.name}: the note has a heading that would change the task itself; write it without, or edit the file"
        )
    return noted
