"""The tests of the base, for gates to be held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from .. import verdicts
from ..tasks.guarded_files import usual_test
from ..tasks.patterns import PatternSet
from ..trees.changes import Change
from ..trees.composition import diff
from .census import Census, Test
from .comparison import touched
from .judgement import judge
from .reports import Left

if TYPE_CHECKING:
    from ..run import Run
    from ..settings.records import GateSettings
    from ..verdicts import Verdict


@dataclass(frozen=True)
class Before:
    """What one gate's tests were on the tree `base`, for judging `tree`. Nothing is known where `census` is None."""

    run: Run
    base: str
    tree: str
    census: Census | None

    def touched(self, test: Test) -> bool:
        """Whether the test's file was changed or deleted between the two trees: the scope verdict has allowed that."""
        return touched(test, self._changes, self._test_files)

    @cached_property
    def _changes(self) -> list[Change]:
        return list(diff(self.run.shadow, self.base, self.tree))

    @cached_property
    def _test_files(self) -> list[str]:
        globs = self.run.settings.tests
        names = [change.name for change in self._changes if not change.added]
        is_test: Callable[[str], bool] = usual_test if globs is None else PatternSet(globs, below=True).covers
        return [name for name in names if is_test(name)]


def before(run: Run, gate: GateSettings, tree: str, base: str | None) -> Before:
    """The gate's tests on `base`; where that was not gated itself, on the last tree of the branch that was."""
    for known in (base, verdicts.last_on_branch(run, gate)) if base is not None else ():
        if known is not None:
            key = verdicts.key(run, gate, known)
            census = verdicts.tests_of(run, key)
            if census is not None or verdicts.recall(run, key) is not None:
                return Before(run, known, tree, census)
    return Before(run, tree, tree, None)


def holds(run: Run, gate: GateSettings, verdict: Verdict, key: str, base: str | None) -> bool:
    """Whether a green verdict that was kept is still green, held against this base."""
    if base is None:
        return True
    than = before(run, gate, verdict.tree, base)
    left = Left(verdicts.tests_of(run, key))
    return not judge(gate, "", left, than.census, than.touched, said_red=False).reason
