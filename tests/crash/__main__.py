"""`make crashes`: a death at every step of a run, one by one, each with the start after it; then at every step of what a
person types after a run (`verbs.py`), each typed again. Prints a line for each.

Arguments choose shapes (`serial`, `-n 2`, `untracked`, `reject`, …, a part of its name) and, after `--`, steps (parts of
names); `--names` has each name die the first time only.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.crash import verbs
from tests.crash.play import Death, Recovered, Step, Undone, recover, steps_of
from tests.crash.world import Shape, copied, kill_left, make

SHAPES = (
    Shape(),
    Shape(tracked=False),
    Shape(memory=False),
    Shape(workers=2),
    Shape(workers=2, tracked=False),
)
AT_A_TIME = 2
LIMITS = (0, 60)
"""Bytes after which a git is killed: before the first, and between the lock of a ref and its log."""


def deaths_at(step: Step, *, alone: bool = True) -> Iterable[Death]:
    """All the ways to die there that differ. `alone`: no other process works beside it, so that what a loss of power takes
    is known; else it would take what another has flushed."""
    yield Death(step)
    effect = step.name.split()[-2]
    if effect in ("write", "open"):
        yield Death(step, "within")
    if effect == "git":
        yield from (Death(step, "within", limit) for limit in LIMITS)
    if not alone:
        return
    if "journal" in step.name or "git " in step.name or "keep" in step.name or "settle" in step.name:
        yield Death(step, "power")


def main() -> int:
    words = sys.argv[1:]
    if quick := "--names" in words:
        words.remove("--names")
    cut = words.index("--") if "--" in words else len(words)
    shapes = [shape for shape in SHAPES if not words[:cut] or any(word in shape.name for word in words[:cut])]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        for number, shape in enumerate(shapes):
            wrong += _enumerate(Path(folder, str(number)), shape, words[cut + 1 :], quick)
        for tracked, verb in ((tracked, verb) for tracked in (True, False) for verb in verbs.verbs()):
            shape = Shape(tracked=tracked)
            name = f"{verb.name}, {shape.name}"
            if not words[:cut] or any(word in name for word in words[:cut]):
                wrong += _type_again(Path(folder, name), name, verb, words[cut + 1 :], quick)
    return 1 if wrong else 0


def _enumerate(folder: Path, shape: Shape, words: Sequence[str], quick: bool) -> int:
    began = time.monotonic()
    template = make(folder / "template", shape)
    steps = steps_of(copied(template, folder / "first"))
    chosen = _chosen(steps, words, quick)
    deaths = [death for step in chosen for death in deaths_at(step, alone=not shape.workers)]
    numbered = list(enumerate(deaths))

    def one(given: tuple[int, Death]) -> Recovered:
        number, death = given
        world = copied(template, folder / str(number))
        found = recover(world, death)
        if found.wrong:
            print(
                f"WRONG {shape.name}: {death}: {'; '.join(found.wrong)}\n    said: {found.said}", flush=True
            )
            kill_left(world.marker)
        shutil.rmtree(world.folder, ignore_errors=True)
        return found

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        found = list(pool.map(one, numbered))
    _print(shape, steps, found, time.monotonic() - began)
    return sum(bool(one.wrong) for one in found)


def _type_again(folder: Path, name: str, verb: verbs.Typed, words: Sequence[str], quick: bool) -> int:
    began = time.monotonic()
    saved = verbs.after_a_run(make(folder / "world", Shape(tracked="untracked" not in name)), verb)
    steps = verbs.steps_of(saved, verb)
    deaths = [death for step in _chosen(steps, words, quick) for death in deaths_at(step)]
    missed, wrong = 0, 0
    for death in deaths:
        try:
            missed += len(verbs.die_and_type_again(saved, verb, [death]))
        except Undone as undone:
            wrong += 1
            print(f"WRONG {name}: {undone}", flush=True)
            kill_left(saved.world.marker)
    names = len({step.name for step in steps})
    print(
        f"{name}: {len(steps)} steps ({names} names), {len(deaths)} deaths: {missed} not reached; wrong {wrong} "
        f"({time.monotonic() - began:.0f} s)",
        flush=True,
    )
    return wrong


def _chosen(steps: Sequence[Step], words: Sequence[str], quick: bool) -> list[Step]:
    chosen = [step for step in steps if not words or any(word in step.name for word in words)]
    return [step for step in chosen if step.occurrence == 1] if quick else chosen


def _print(shape: Shape, steps: Sequence[Step], found: Sequence[Recovered], seconds: float) -> None:
    ways = Counter(one.way for one in found)
    lost = sum("lost" in text for one in found for text in one.wrong)
    twice = sum(" 2 commits" in text for one in found for text in one.wrong)
    names = len({step.name for step in steps})
    print(
        f"{shape.name}: {len(steps)} steps ({names} names), {len(found)} deaths: "
        + ", ".join(f"{ways[way]} {way}" for way in ("forward", "backward", "nothing to mend", "not reached"))
        + f"; lost {lost}, twice {twice}, otherwise wrong {sum(bool(one.wrong) for one in found)} ({seconds:.0f} s)",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
