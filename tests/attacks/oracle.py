"""What must be true after any attack, found out from git, the file system and /proc alone.

None of the plugin's code is used here: an attack that fools it must not fool its judge.
"""

from __future__ import annotations

import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial

from tests.attacks.attack import ATTACK_TASK, HONEST_TASK, Played
from tests.attacks.play import HONEST_FILE, alive, scope_of

NEVER = re.compile(r"(?i)(^|/)(\.git[^/]*|\.claude)(/|$)|^agenttasks\.yaml$|^license$")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_BOOKKEEPING = re.compile(r"^(tasks/|CLAUDE\.md$)")


def complaints(played: Played) -> list[str]:
    """Everything that is not as it must be; nothing when the attack got nowhere."""
    return [
        *_outcome(played),
        *_history(played),
        *_landed(played),
        *_checkout(played),
        *_stored(played),
        *_reports(played),
        *(f"a process is left: {process}" for process in alive(played.marker)),
    ]


def _git(played: Played, *args: str, check: bool = True) -> str:
    """Git's output as it is; bytes that are not UTF-8 become surrogates."""
    done = subprocess.run(["git", *args], cwd=played.project.path, capture_output=True, check=check).stdout
    return done.decode("utf-8", "surrogateescape")


def _outcome(played: Played) -> Iterator[str]:
    expected = {ATTACK_TASK: played.attack.outcome, HONEST_TASK: "landed"}
    for task, outcome in expected.items():
        found = played.result.outcomes.get(task, "not run")
        if found != outcome:
            yield f"{task}: {found} instead of {outcome}"


def _history(played: Played) -> Iterator[str]:
    """One commit for each task that landed, within its scope; all others are bookkeeping."""
    git = partial(_git, played)
    commits = git("rev-list", "--reverse", f"{played.base}..{played.tip}").split()
    if git("rev-list", "--merges", f"{played.base}..{played.tip}"):
        yield "a merge commit"
    if git("merge-base", played.base, played.tip).strip() != played.base:
        yield "the branch was rewritten"
    of_task: dict[str, list[str]] = {ATTACK_TASK: [], HONEST_TASK: []}
    for commit in commits:
        added = git("diff-tree", "-r", "--name-only", "--no-renames", "--diff-filter=A", f"{commit}^", commit)
        tasks = [task for task in of_task if f"tasks/done/{task}.md" in added.splitlines()]
        for task in tasks:
            of_task[task].append(commit)
        scope = {ATTACK_TASK: scope_of(played.attack), HONEST_TASK: (HONEST_FILE,)}.get(
            tasks[0] if len(tasks) == 1 else "", ()
        )
        for path in _changed(played, commit, [_excluding(entry) for entry in scope]):
            own_queue = path.startswith("tasks/") and (not tasks or path.endswith(f"/{tasks[0]}.md"))
            if not own_queue and not (not tasks and path == "CLAUDE.md"):
                yield f"{commit[:8]} ({' '.join(tasks) or 'bookkeeping'}) changes {path!r}, which is not in {scope}"
        yield from (
            f"{commit[:8]} changes {path!r}" for path in _changed(played, commit, []) if NEVER.search(path)
        )
    expected = {ATTACK_TASK: int(played.attack.outcome == "landed"), HONEST_TASK: 1}
    for task, number in expected.items():
        if len(of_task[task]) != number:
            yield f"{task}: {len(of_task[task])} commits instead of {number}"
    kept = iter(git("show", f"{played.tip}:CLAUDE.md").splitlines())
    if not all(line in kept for line in git("show", f"{played.base}:CLAUDE.md").splitlines()):
        yield "a line of the memory file is lost"


def _excluding(entry: str) -> str:
    """Git's own word for one entry of a scope."""
    if not re.search(r"[*?\[]", entry):
        return f":(top,exclude,literal){entry}"
    anchored = entry.removeprefix("./")
    return f":(top,exclude,glob){anchored}" if "/" in entry else f":(top,exclude,glob)**/{entry}"


def _changed(played: Played, commit: str, but: list[str]) -> list[str]:
    git = partial(_git, played)
    output = git(
        "diff-tree", "-r", "-z", "--name-only", "--no-renames", f"{commit}^", commit, "--", ":/", *but
    )
    return [path for path in output.split("\0") if path]


def _landed(played: Played) -> Iterator[str]:
    """What landed is what the attack says."""
    if played.attack.outcome != "landed":
        return
    git = partial(_git, played)
    for path, wanted in played.attack.landed.items():
        there = bool(git("ls-tree", "-z", played.tip, "--", path))
        if wanted is None or not there:
            if there or wanted is not None:
                yield f"{path} is {'there' if there else 'not there'}"
            continue
        text = wanted if isinstance(wanted, bytes) else wanted.encode()
        stored = git("cat-file", "blob", f"{played.tip}:{path}").encode("utf-8", "surrogateescape")
        if stored != text:
            yield f"{path} landed as {stored[:200]!r}"


def _checkout(played: Played) -> Iterator[str]:
    """The user's checkout holds the tip; all else in it, in its git folder and in HOME is as it was."""
    git = partial(_git, played)
    moved = set(git("diff", "--name-only", "-z", "--no-renames", played.base, played.tip).split("\0"))
    own = re.compile(
        r"^(\.git/(index|logs/HEAD|logs/refs/heads/work|refs/heads/work)|tasks/(pending|done|failed)/(001-attack|002-honest)\.md|tasks/logs)$"
    )
    names = played.before.keys() | played.after.keys()
    for path in sorted(names):
        if played.before.get(path) == played.after.get(path):
            continue
        if path in moved or own.match(path) or any(name.startswith(f"{path}/") for name in moved):
            continue
        if any(fnmatchcase(path, glob) for glob in played.attack.touches):
            continue
        yield f"the user's {path} was {_short(played.before.get(path))} and is {_short(played.after.get(path))}"
    if played.attack.touches:
        return
    status = [line for line in git("status", "--porcelain").splitlines() if " tasks/" not in line]
    if status:
        yield f"git status: {status}"


def _short(look: str | None) -> str:
    return "absent" if look is None else look[:120]


def _stored(played: Played) -> Iterator[str]:
    """The attempt is kept."""
    if played.attack.outcome == "refused":
        return
    folder = played.project.path / "tasks/logs" / ATTACK_TASK
    shadow = str(played.project.path / ".git/agenttasks/shadow.git")
    tree = _git(
        played,
        f"--git-dir={shadow}",
        "rev-parse",
        "-q",
        "--verify",
        f"refs/attempts/{ATTACK_TASK}/1^{{tree}}",
        check=False,
    )
    if not tree:
        yield "the attempt is not stored"
    if not (folder / "attempt-1.diff").exists():
        yield "the attempt has no diff"


def _reports(played: Played) -> Iterator[str]:
    """Terminal and JUnit hold no control characters, and JUnit is XML."""
    for character in set(_CONTROL.findall(played.result.output)):
        yield f"the terminal was sent {character!r}"
    try:
        root = ET.parse(played.result.junit).getroot()
    except (OSError, ET.ParseError) as error:
        yield f"JUnit: {error}"
        return
    texts = [text for element in root.iter() for text in (element.text, *element.attrib.values()) if text]
    for character in {found for text in texts for found in _CONTROL.findall(text)}:
        yield f"JUnit holds {character!r}"
