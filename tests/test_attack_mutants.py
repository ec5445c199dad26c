"""With one defence switched off, the attack that it is there for gets through, and the suite notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attacks import mutants
from tests.attacks.catalogue import catalogue
from tests.attacks.oracle import complaints
from tests.attacks.play import play


@pytest.fixture(autouse=True)
def nothing_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else pytest leaves compiled files of the project's own modules in the user's checkout, where nothing may appear."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")


NOTICED: tuple[tuple[Callable[[], None], str, str], ...] = (
    (mutants.everything_is_in_scope, "edit-out-of-scope", "changes 'other/kept.txt', which is not in"),
    (mutants.everything_is_in_scope, "edit-settings", "changes 'agenttasks.yaml'"),
    (mutants.new_files_are_in_scope, "not-utf8-name", "landed instead of scope"),
    (mutants.new_files_are_in_scope, "newline-in-name", "landed instead of scope"),
    (mutants.guarded_files_are_writable, "weaken-test", "landed instead of scope"),
    (mutants.protected_files_are_writable, "protected-kind", "landed instead of scope"),
    (mutants.protected_files_are_writable, "claude-settings-in-scope", "changes 'src/.claude/settings.json'"),
    (mutants.ignore_files_of_the_agent_count, "own-ignore-file", "landed instead of scope"),
    (mutants.the_agents_git_is_believed, "assume-unchanged", "landed instead of scope"),
    (mutants.the_agents_git_is_believed, "skip-worktree", "landed instead of scope"),
    (mutants.the_agents_git_is_believed, "info-exclude", "landed instead of scope"),
    (mutants.the_agents_git_is_believed, "file-mode", "landed instead of scope"),
    (mutants.nothing_is_odd, "named-pipe", "landed instead of scope"),
    (mutants.settings_of_the_private_repository_are_not_put_back, "runners-ignore-rules", "landed instead"),
    (mutants.gates_run_where_the_agent_worked, "poisoned-pyc", "landed instead of gate"),
    (mutants.gates_run_where_the_agent_worked, "venv-program", "landed instead of gate"),
    (mutants.the_gate_checkout_is_not_cleaned, "untracked-in-gate-checkout", "landed instead of gate"),
    (mutants.rewritten_files_do_not_matter, "gate-rewrites-tests", "landed instead of gate"),
    (mutants.dependencies_are_not_compared, "gates-own-venv", "landed instead of gate"),
    (mutants.caches_are_shared, "cached-result", "landed instead of gate"),
    (mutants.survivors_stay_alive, "daemon-flips-files", "a process is left"),
    (mutants.the_last_line_decides, "claims-in-product", "landed instead of gate"),
    (mutants.nothing_is_odd, "hard-link-to-the-users-file", "landed instead of scope"),
    (mutants.survivors_stay_alive, "daemon-by-double-fork", "a process is left"),
    (mutants.filters_of_the_moment_are_started, "programs-in-the-users-configuration", "instead of landed"),
    (mutants.lists_of_dependencies_are_believed, "forges-the-list-of-dependencies", "the user's other"),
    (mutants.text_is_printed_as_it_is, "terminal-escapes", "the terminal was sent"),
    (mutants.text_is_printed_as_it_is, "terminal-codes-in-name", "the terminal was sent"),
)
"""The defence that is off, the attack, and what the oracle then says among other things."""

ATTACKS = {attack.name: attack for attack in catalogue()}


@pytest.mark.parametrize(
    ("mutant", "name", "said"), NOTICED, ids=[f"{mutant.__name__}-{name}" for mutant, name, _ in NOTICED]
)
def test_an_attack_gets_through(
    mutant: Callable[[], None], name: str, said: str, tmp_path: Path, home: Path
) -> None:
    found = complaints(play(ATTACKS[name], tmp_path, home, mutant))
    assert any(said in complaint for complaint in found), found
