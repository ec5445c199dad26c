"""The base's ignore and attribute files in a workspace, in place of the agent's, while its files are stored."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from functools import partial
from pathlib import Path

from .composition import write_blob
from .git import split
from .objects import entries
from .shadow import Shadow
from .survey import RULE_FILES
from .workspace import Place


class BaseRules:
    """While it is entered, the workspace has the base's `.gitattributes` and `.gitignore` files, and no others.

    An agent's own could hide files, change what is stored of them, or keep git from storing anything. Yields
    the agent's versions (path → mode and stored object), to be put into the snapshot afterwards; the files
    themselves are put back on leaving. A deleted one needs no care: its absence hides nothing.
    """

    def __init__(
        self, shadow: Shadow, where: Place, base_tree: str, present: tuple[bytes, ...], odd: Collection[bytes]
    ) -> None:
        self._shadow, self._where, self._base = shadow, where, base_tree
        self._present, self._odd = present, odd
        self._agents: dict[bytes, tuple[str, str]] = {}
        self._originals: dict[Path, bytes] = {}
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
                self._away[file] = self._where.root / f"rules-{len(self._away)}"
                file.rename(self._away[file])
            elif stat.S_ISREG(mode):
                plain.append(path)
        if not plain:
            return
        changed = split(git("ls-files", "-z", "-m", "-o", "--", *map(os.fsdecode, plain)))
        base = entries(self._shadow, self._base, changed)
        for path in changed:
            file = self._where.path / os.fsdecode(path)
            mode_bits, object_id = base.get(path, ("100644", ""))
            data = file.read_bytes()
            self._agents[path] = (mode_bits, write_blob(self._shadow, data))
            self._originals[file] = data
            if object_id:
                file.write_bytes(git("cat-file", "--filters", f"--path={os.fsdecode(path)}", object_id))
            else:
                file.unlink()
                self._new.append(path)

    def __exit__(self, *_: object) -> None:
        for file, data in self._originals.items():
            file.write_bytes(data)
        for file, place in self._away.items():
            place.rename(file)
