"""The files of a commit, indexed for questions about patterns."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice

from .patterns import PatternSet, fold, is_folder, is_path, literal_folder

MOST_LOOKED_AT = 1_000_000


class BaseFiles:
    """`paths` in any order. Globs are tried on at most `MOST_LOOKED_AT` files over the object's life."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._sorted: Sequence[str] = sorted(paths)
        self._files = frozenset(self._sorted)
        self._left = MOST_LOOKED_AT
        self._found: dict[tuple[str, int], tuple[str, ...] | None] = {}

    def __bool__(self) -> bool:
        return bool(self._files)

    def has_file(self, path: str) -> bool:
        return path in self._files

    def has_folder(self, path: str) -> bool:
        return path in self._folders

    def first(self, pattern: str) -> str | None:
        """A file that the pattern matches."""
        return next(iter(self.matching(pattern, 1) or ()), None)

    def matching(self, pattern: str, most: int) -> tuple[str, ...] | None:
        """The first files that the pattern matches; None if that cannot be said any more."""
        if is_path(pattern):
            return (pattern,) if pattern in self._files else ()
        key = pattern, most
        if key not in self._found:
            self._found[key] = self._look(pattern, most)
        return self._found[key]

    def twin(self, pattern: str) -> str | None:
        """A file or folder whose path differs from a missing one in case or composition only."""
        if is_path(pattern):
            return self._folded.get(fold(pattern))
        found = self._folded_folders.get(fold(pattern.rstrip("/"))) if is_folder(pattern) else None
        return f"{found}/" if found else None

    @cached_property
    def _folders(self) -> frozenset[str]:
        folders: set[str] = set()
        for path in self._sorted:
            folder = path.rpartition("/")[0]
            while folder and folder not in folders:
                folders.add(folder)
                folder = folder.rpartition("/")[0]
        return frozenset(folders)

    @cached_property
    def _folded(self) -> dict[str, str]:
        return {fold(path): path for path in self._sorted}

    @cached_property
    def _folded_folders(self) -> dict[str, str]:
        return {fold(path): path for path in self._folders}

    def _look(self, pattern: str, most: int) -> tuple[str, ...] | None:
        start, end = self._range(literal_folder(pattern))
        if is_folder(pattern):
            return tuple(self._sorted[start : min(end, start + most)])
        if end - start > self._left:
            return None
        self._left -= end - start
        covers = PatternSet([pattern]).covers
        return tuple(islice((path for path in self._sorted[start:end] if covers(path)), most))

    def _range(self, folder: str) -> tuple[int, int]:
        if not folder:
            return 0, len(self._sorted)
        return bisect_left(self._sorted, folder + "/"), bisect_left(self._sorted, folder + "0")
