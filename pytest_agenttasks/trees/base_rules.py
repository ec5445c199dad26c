"""The base's ignore and attribute files in a workspace, in place of the agent's, while its files are stored."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from functools import partial
from pathlib import Path

from .changes import parents
from .composition import write_blob
from .git import split
from .objects import entries
from .places import Place
from .removal import remove
from .shadow import Shadow
from .survey import RULE_FILES


class BaseRules:
    """While it is entered, the workspace has the base's `.gitattributes` and `.gitignore` files, and no others.

    An agent's own could hide files, change what is stored of them, or keep git from storing anything. Yields
    the agent's versions (path → mode and stored object), to be put into the snapshot afterwards; the files
    themselves are put back on leaving, or by `put_back` after a kill. A deleted one needs no care: its absence
    hides nothing.
    """

    def __init__(
        self, shadow: Shadow, where: Place, base_tree: str, present: tuple[bytes, ...], odd: Collection[bytes]
    ) -> None:
        self._shadow, self._where, self._base = shadow, where, base_tree
        self._present, self._odd = present, odd
        self._agents: dict[bytes, tuple[str, str]] = {}
        self._away: dict[Path, Path] = {}
        self._new: list[bytes] = []

    def __enter__(self) -> dict[bytes, tuple[str, str]]:
        # Attributes first: they decide whether an ignore file counts as changed.
        for name in RULE_FILES:
            self._restore([path for path in self._present if path.rpartition(b"/")[2] == name])
        if self._new:
            # A tool's cache that the base ignores has one of its own: it is left out with the folder.
            git = partial(self._shadow.git, index=self._where.index, work_tree=self._where.path)
            listed = git("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
            folders = tuple(entry for entry in split(listed) if entry.endswith(b"/"))
            for path in self._new:
                if path.startswith(folders):
                    del self._agents[path]
        return self._agents

    def _restore(self, paths: list[bytes]) -> None:
        git = partial(self._shadow.git, index=self._where.index, work_tree=self._where.path)
        plain = []
        for path in paths:
            file = self._where.path / os.fsdecode(path)
            mode = file.lstat().st_mode
            if path in self._odd or not (stat.S_ISREG(mode) or stat.S_ISLNK(mode) or stat.S_ISDIR(mode)):
                self._take_away(path)
            elif stat.S_ISREG(mode):
                plain.append(path)
        if not plain:
            return
        changed = split(git("ls-files", "-z", "-m", "-o", "--", *map(os.fsdecode, plain)))
        base = entries(self._shadow, self._base, changed)
        for path in changed:
            file = self._where.path / os.fsdecode(path)
            mode_bits, object_id = base.get(path, ("100644", ""))
            self._agents[path] = (mode_bits, write_blob(self._shadow, file.read_bytes()))
            base_text = (
                git("cat-file", "--filters", f"--path={os.fsdecode(path)}", object_id) if object_id else None
            )
            self._take_away(path)
            if base_text is None:
                self._new.append(path)
            else:
                file.write_bytes(base_text)

    def _take_away(self, path: bytes) -> None:
        """Put a file of the agent's beside the workspace, with a note of where it belongs."""
        folder = _beside(self._where)
        folder.mkdir(exist_ok=True)
        file = self._where.path / os.fsdecode(path)
        place = folder / str(len(self._away))
        place.with_suffix(_NOTE).write_bytes(path)
        file.rename(place)
        self._away[file] = place

    def __exit__(self, *_: object) -> None:
        for file, place in self._away.items():
            place.rename(file)
        remove(_beside(self._where))


def put_back(where: Place) -> None:
    """Put the agent's own rules back, where a kill came while the base's were in their place."""
    top = os.fsencode(where.path)
    for note in _beside(where).glob(f"*{_NOTE}"):
        place, path = note.with_suffix(""), note.read_bytes()
        if os.path.lexists(place) and _a_rule_file(top, path):
            place.rename(os.fsdecode(top + b"/" + path))
    remove(_beside(where))


def _a_rule_file(top: bytes, path: bytes) -> bool:
    """Whether a note may be believed: written by an agent it could say anything."""
    *folders, name = path.split(b"/")
    if name not in RULE_FILES or not {b"", b".", b".."}.isdisjoint(folders):
        return False
    above = [Path(os.fsdecode(top + b"/" + parent)) for parent in parents(path)]
    return all(parent.is_dir() and not parent.is_symlink() for parent in above)


_NOTE = ".path"


def _beside(where: Place) -> Path:
    return where.root / "rules"
