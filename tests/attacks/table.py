"""The catalogue as a table in Markdown, as docs/security.md shows it."""

from __future__ import annotations

from pathlib import Path

from tests.attacks.attack import Attack
from tests.attacks.catalogue import catalogue

DOCUMENT = Path(__file__).parents[2] / "docs/security.md"
BEGIN, END = "<!-- attacks: begin (python -m tests.attacks) -->", "<!-- attacks: end -->"

_HEAD = "| kind | what the agent does | outcome | by | setting |\n| --- | --- | --- | --- | --- |\n"


def table() -> str:
    """One line an attack, in the order of the catalogue."""
    return _HEAD + "\n".join(map(_line, catalogue()))


def documented() -> str:
    """The table as the document has it."""
    return _parts()[1].strip("\n")


def write() -> None:
    """Put the table of today into the document."""
    before, _, after = _parts()
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}")


def _parts() -> tuple[str, str, str]:
    before, _, rest = DOCUMENT.read_text().partition(BEGIN)
    inner, _, after = rest.partition(END)
    return before, inner, after


def _line(attack: Attack) -> str:
    effect = attack.effect if attack.waits_for is None else f"not yet ({attack.waits_for})"
    cells = (
        attack.kind,
        attack.what,
        f"`{attack.outcome}`",
        f"{effect}: {attack.by}",
        attack.setting,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
