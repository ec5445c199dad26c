"""What a review may answer, and what the answer means as the verdict of a gate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from .agents.contract import AgentResult
from .report.printable import one_line, printable, tail
from .verdicts import Verdict

SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["approve", "reasons", "missed"],
    "properties": {
        "approve": {"type": "boolean"},
        "reasons": {"type": "array", "items": {"type": "string"}},
        "missed": {"type": "array", "items": {"type": "string"}},
    },
}


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a review says, by `SCHEMA`."""

    approve: bool
    reasons: tuple[str, ...]
    missed: tuple[str, ...]

    @property
    def approved(self) -> bool:
        """Whether the change may land: an approval that names something missed is none."""
        return self.approve and not self.missed


class NoAnswer(Exception):
    """The session gave no answer that counts; the message says why."""


def read_answer(result: AgentResult, touched: Sequence[str] = ()) -> Answer:
    """The answer that a session gave by the schema, as the CLI reports it. Raises NoAnswer.

    `touched` are files that the session changed although it was to read only.
    """
    if touched:
        raise NoAnswer(f"the session changed files that it was to read ({', '.join(touched[:5])})")
    if result.failure is not None:
        raise NoAnswer(result.failure.summary)
    given = (result.details or {}).get("answer")
    if given is None:
        raise NoAnswer("the session ended without one")
    try:
        answer = msgspec.convert(given, Answer, strict=True)
    except msgspec.ValidationError as error:
        raise NoAnswer(f"it is not of the schema: {one_line(str(error))}") from None
    if not answer.approved and not any(text.strip() for text in (*answer.reasons, *answer.missed)):
        raise NoAnswer("it refuses and does not say why")
    return answer


def to_verdict(gate: str, tree: str, answer: Answer, seconds: float, log: str) -> Verdict:
    """An answer as the verdict of a gate; a refusal's evidence is its reasons and what it missed."""
    lines = []
    for title, texts in (("Reasons:", answer.reasons), ("Missed:", answer.missed)):
        if texts:
            lines += [title, *(f"- {printable(text).strip()}" for text in texts)]
    first = next((text for text in (*answer.missed, *answer.reasons) if text.strip()), "")
    return Verdict(
        gate=gate,
        tree=tree,
        passed=answer.approved,
        seconds=seconds,
        reason="" if answer.approved else f"the review refused the change: {one_line(first)}",
        evidence=tail("\n".join(lines).encode()),
        log=log,
    )
