"""What an attempt starts from: the tip of the branch, its memory file, and the rules that these set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .memory.text import protected_paths
from .outcome import SetupError
from .queue import Queue
from .settings.records import FILE_NAME, Settings
from .tasks.scope import Rules
from .trees.changes import SYMLINK_MODE
from .trees.objects import Store, blob, entries

if TYPE_CHECKING:
    from .run import Run


@dataclass(frozen=True, slots=True)
class Base:
    """Where an attempt starts: the tip of the branch, its tree, its memory and the rules it sets."""

    commit: str
    tree: str
    memory: str | None
    rules: Rules


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory file in one commit: the path that holds the text (a link is followed), and the text."""

    path: bytes
    text: str | None


def memory_of(store: Store, tree: str, file: str) -> Memory:
    """Read the memory file of a tree; `text` is None where there is none."""
    path = os.fsencode(file)
    for _ in range(5):
        found = entries(store, tree, [path]).get(path)
        if found is None or found[0] == "040000":
            return Memory(path, None)
        mode, object_id = found
        data = blob(store, object_id)
        if mode != SYMLINK_MODE:
            try:
                return Memory(path, data.decode("utf-8"))
            except UnicodeDecodeError as error:
                raise SetupError(f"{file}: not UTF-8 (byte {error.start}); save it as UTF-8") from error
        path = os.path.normpath(os.path.join(os.path.dirname(path), data))
        if path.startswith((b"/", b"..")):
            raise SetupError(f"{file}: a link that leaves the repository; make it point to a file in it")
    raise SetupError(f"{file}: a chain of links; make it a file, or a link to one")


def rules_of(run_settings: Settings, queue: Queue, memory: Memory, settings_file: str = FILE_NAME) -> Rules:
    """What no task may write, as the base commit has it. Raises SetupError for an unusable Do Not Touch list."""
    listed: tuple[str, ...] = ()
    if memory.text is not None:
        listed, problems = protected_paths(memory.text)
        if problems:
            raise SetupError(f"{os.fsdecode(memory.path)}: Do Not Touch: {'; '.join(problems)}")
    return Rules(
        protected=(*run_settings.protected, *listed),
        tests=run_settings.tests,
        queue=queue.relative,
        memory_file=os.fsdecode(memory.path),
        settings_file=settings_file,
        drop=run_settings.drop,
    )


def base_of(run: Run) -> Base:
    """The base of an attempt that starts now. Raises SetupError when the checkout was switched to another branch."""
    if run.repository.branch() != run.branch:
        raise SetupError(
            f"{run.repository.top}: the checkout was switched away from `{run.branch.removeprefix('refs/heads/')}` while the "
            "run was going on; switch back, then start again"
        )
    return base_at(run, run.repository.tip())


def base_at(run: Run, commit: str) -> Base:
    """The base that this commit is. Raises GitError where it is gone."""
    tree = run.repository.tree_of(commit)
    memory = memory_of(run.shadow, tree, run.settings.memory.file)
    return Base(commit, tree, memory.text, rules_of(run.settings, run.queue, memory, _settings_name(run)))


def _settings_name(run: Run) -> str:
    try:
        return run.settings_file.resolve().relative_to(run.repository.top.resolve()).as_posix()
    except ValueError:
        return "agenttasks.yaml"
