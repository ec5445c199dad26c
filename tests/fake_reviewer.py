"""A program that stands for the claude CLI in reviews: it answers what it is told to, as fast as a shell starts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

APPROVAL = {"approve": True, "reasons": ["fine"], "missed": []}
REFUSAL = {"approve": False, "reasons": ["src/a.txt, line 2: wrong"], "missed": ["the right word"]}

_OPTIONS = (
    "--print --output-format --verbose --tools --allowedTools --permission-mode dontAsk --strict-mcp-config --model "
    "--max-budget-usd --settings --json-schema --setting-sources"
)


@dataclass(frozen=True)
class FakeReviewer:
    """The program `command`; each session writes its arguments and prompt into `folder` and plays the next answer."""

    folder: Path

    @property
    def gate(self) -> dict[str, Any]:
        """A review gate that this program holds."""
        return {"name": "review", "agent": "claude", "command": ["sh", str(self.folder / "claude")]}

    def answers(self, *results: dict[str, Any] | None, before: str = "") -> None:
        """The structured answers of the sessions to come (the last one again and again); `before`: shell lines first."""
        self.folder.mkdir(exist_ok=True)
        for number, answer in enumerate(results, 1):
            (self.folder / f"answer-{number}").write_text(_stream(answer))
        (self.folder / "claude").write_text(
            f"case \"$*\" in *--version*) echo '2.1.197 (fake)'; exit;; *--help*) echo '{_OPTIONS}'; exit;; esac\n"
            f"cd_to='{self.folder}'\n{before}\n"
            'n=$(($(ls "$cd_to" | grep -c "^prompt-") + 1))\n'
            'cat > "$cd_to/prompt-$n"; printf "%s\\n" "$@" > "$cd_to/arguments-$n"; env > "$cd_to/environment-$n"\n'
            f'[ $n -le {len(results)} ] || n={len(results)}\ncat "$cd_to/answer-$n"\n'
        )

    @property
    def sessions(self) -> int:
        return len(list(self.folder.glob("prompt-*")))

    def prompt(self, number: int = 1) -> str:
        return (self.folder / f"prompt-{number}").read_text()

    def arguments(self, number: int = 1) -> list[str]:
        return (self.folder / f"arguments-{number}").read_text().splitlines()


def _stream(answer: dict[str, Any] | None) -> str:
    result: dict[str, Any] = {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "num_turns": 2,
        "total_cost_usd": 0.25,
        "session_id": "fake",
    }
    if answer is not None:
        result["structured_output"] = answer
    events = [{"type": "system", "subtype": "init", "session_id": "fake", "model": "fake"}, result]
    return "".join(json.dumps(event) + "\n" for event in events)
