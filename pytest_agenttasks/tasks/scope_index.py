"""Which of many scopes share files, without comparing each with each."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence

from .glob_segments import meet
from .patterns import PatternSet, elements, fold, is_folder, is_path, literal_folder

MOST_SCOPES = 20_000
MOST_COMPARISONS = 500_000
COST_OF_GLOBS = 20


def sharing(scopes: Sequence[Iterable[str]]) -> tuple[list[int], bool]:
    """For each scope, the others that may share a file with it, as a set of bits (bit `n`: `scopes[n]`).

    The second value is False if there were too many to compare them all; what is found is right even then.
    """
    if len(scopes) > MOST_SCOPES:
        return [0] * len(scopes), False
    owners: dict[str, int] = defaultdict(int)
    for n, scope in enumerate(scopes):
        for pattern in scope:
            owners[fold(pattern)] |= 1 << n
    shared = _by_place(owners)
    complete = _by_glob(owners, shared)
    masks = []
    for n, scope in enumerate(scopes):
        mask = 0
        for pattern in scope:
            mask |= shared[fold(pattern)]
        masks.append(mask & ~(1 << n))
    return masks, complete


def _by_place(owners: dict[str, int]) -> dict[str, int]:
    """What folders and equal patterns say: whose folder holds it, and who is in it if it is a folder."""
    folders: dict[str, int] = defaultdict(int)
    below: dict[str, int] = defaultdict(int)
    for pattern, owner in owners.items():
        if is_folder(pattern):
            folders[pattern.rstrip("/")] |= owner
        for folder in _places(pattern):
            below[folder] |= owner
    shared: dict[str, int] = {}
    for pattern, owner in owners.items():
        mask = owner
        for folder in _places(pattern):
            mask |= folders.get(folder, 0)
        if is_folder(pattern):
            mask |= below[pattern.rstrip("/")]
        shared[pattern] = mask
    return shared


def _by_glob(owners: dict[str, int], shared: dict[str, int]) -> bool:
    """Add what globs share with what is in or below the folder they start from; False if there are too many."""
    placed = sorted((p if is_path(p) else literal_folder(p), p) for p in owners)
    made_of = {p: elements(p) for p in owners if not is_path(p)}
    left = MOST_COMPARISONS
    for anchor, glob in placed:
        if is_path(glob) or is_folder(glob):
            continue
        matcher = PatternSet([glob])
        for other in _at_or_below(placed, anchor):
            left -= 1 if is_path(other) else COST_OF_GLOBS
            if left < 0:
                return False
            if matcher.covers(other) if is_path(other) else meet(made_of[glob], made_of[other]):
                shared[glob] |= owners[other]
                shared[other] |= owners[glob]
    return True


def _places(pattern: str) -> Iterable[str]:
    """The folder that holds all that the pattern matches, and those around it."""
    folder = literal_folder(pattern)
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]
    yield ""


def _at_or_below(placed: Sequence[tuple[str, str]], anchor: str) -> Iterable[str]:
    if not anchor:
        return [pattern for _, pattern in placed]
    same = range(bisect_left(placed, (anchor, "")), bisect_left(placed, (anchor + "\0", "")))
    below = range(bisect_left(placed, (anchor + "/", "")), bisect_left(placed, (anchor + "0", "")))
    return [placed[n][1] for numbers in (same, below) for n in numbers]
