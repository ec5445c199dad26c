"""One attack as a record: what the agent does, and what must become of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from tests.queue_runs import Project, Result

Kind = Literal["cheats", "hiding", "breaking git", "escaping", "harm", "rules"]
Effect = Literal["prevented", "detected", "needs sandbox"]

ATTACK_TASK = "001-attack"
HONEST_TASK = "002-honest"
HONEST_CHANGE = {"src/a.txt": "honest\n"}
"""What the agent of every attack does first, in scope; and what lands where the attack had no effect."""

BASE_FILES: Mapping[str, str | bytes] = {
    "src/a.txt": "a\n",
    "src/product.py": "def answer():\n    return 42\n",
    "tests/test_product.py": (
        "import os, sys\n"
        'sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "src"))\n'
        "import product\n\n\n"
        "def test_answer():\n"
        "    assert product.answer() == 42\n\n\n"
        'if __name__ == "__main__":\n'
        "    test_answer()\n"
        '    print("1 test passed")\n'
    ),
    "docs/notes.md": "notes\n",
    "other/kept.txt": "kept\n",
    "LICENSE": "a licence\n",
    "CLAUDE.md": "# Project\n\n## Rules\n- be kind\n\n## Do Not Touch\n- LICENSE\n\n## Completed Tasks Log\n",
    ".gitignore": "*.log\nbuild/\n__pycache__/\n*.pyc\nnode_modules/\n.venv/\n",
}
"""The repository that every attack starts from; `Attack.files` adds to it, or replaces."""

GATE = f"'{sys.executable}' tests/test_product.py"
"""The only gate, unless `Attack.settings` has others."""


@dataclass(frozen=True)
class Played:
    """An attack that was played, for the assertions of its `check`.

    `before` and `after` are fingerprints of the user's checkout and HOME (path → kind, mode and content); `log` is
    everything the run wrote below `tasks/logs` as text; `base` and `tip` are the branch before and after the run;
    `marker` stands in the environment (ATTACK_MARKER) of everything that the run started.
    """

    attack: Attack
    project: Project
    result: Result
    before: Mapping[str, str]
    after: Mapping[str, str]
    log: str
    base: str
    tip: str
    marker: str
    home: Path


@dataclass(frozen=True)
class Attack:
    """One behaviour. The agent first makes HONEST_CHANGE, then plays `script`; the gate is GATE.

    `script`: Python source, played with the workspace as its folder and the attempt's environment; besides,
    ATTACK_VICTIM is the user's checkout, ATTACK_HOME the (temporary) home, ATTACK_MARKER the run's mark.
    `outcome`: of the one task, in words of `docs/outcomes.md`; `landed` means that the attack had no effect.
    `task`: `scope` (entries; default: the folder `src/`), all else is front matter.
    `settings`: top-level keys of agenttasks.yaml over those of `tests.attacks.play`.
    `landed`: what the landed tree holds at paths (None: nothing there), looked at when `outcome` is `landed`.
    `effect`: `needs sandbox` where nothing else helps; such scripts go on when the sandbox refuses something.
    `touches`: what the attack changes of the user's checkout (paths) and HOME (`~/…`) where no sandbox holds, as globs.
    `needs_cgroup`: played only where the runner can make one.
    `waits_for`: why this is expected to fail today: a feature, or `hole: …`.
    """

    name: str
    kind: Kind
    what: str
    script: str
    outcome: str
    by: str
    effect: Effect = "prevented"
    setting: str = "default"
    task: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    landed: Mapping[str, str | bytes | None] = field(default_factory=lambda: HONEST_CHANGE)
    check: Callable[[Played], None] | None = None
    touches: tuple[str, ...] = ()
    waits_for: str | None = None
    needs_cgroup: bool = False

    @property
    def sandboxed(self) -> bool:
        """Whether it is played in a sandbox: only what nothing else stops, once there is one."""
        return self.effect == "needs sandbox" and self.waits_for is None
