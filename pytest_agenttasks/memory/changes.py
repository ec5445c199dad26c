"""What changed in the memory file, for a person: without what the runner keeps there itself."""

from __future__ import annotations

from collections import Counter

from .sections import parse
from .text import COMPLETED_LOG, TASK_QUEUE


def changes_of_people_and_agents(old: str, new: str) -> tuple[str, ...]:
    """A line for each that was added (`+`) or taken away (`-`), with its section; the runner's sections do not count."""
    before, after = _lines(old), _lines(new)
    gone, come = before - after, after - before
    told = [f"{place}: + {text}" for place, text in come.elements()]
    return (*told, *(f"{place}: - {text}" for place, text in gone.elements()))


def _lines(text: str) -> Counter[tuple[str, str]]:
    document = parse(text)
    return Counter(
        (section.title or "(top)", line.strip())
        for section in document.sections
        if not {COMPLETED_LOG, TASK_QUEUE}.intersection(section.path)
        for line in document.lines[section.content : section.end]
        if line.strip()
    )
