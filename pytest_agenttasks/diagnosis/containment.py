"""What holds a careless or hostile agent: the sandbox, the limits, and gates that notice broken code."""

from __future__ import annotations

import os
from collections.abc import Iterator

from .. import canary as canary_module
from ..base import base_of
from ..outcome import SetupError
from ..processes import caps, cgroup_tree, cgroups
from ..processes import sandbox as sandbox_module
from ..run import Run
from ..settings.records import Settings
from .finding import Finding, fail, ok, refused, warn


def sandbox(settings: Settings) -> Iterator[Finding]:
    """What confines agents and gates on this machine, found by trying it."""
    try:
        found = sandbox_module.find(settings.sandbox)
    except SetupError as error:
        yield refused("sandbox", error, "see the message, or set `sandbox: auto`")
        return
    first, *meaning = (line.strip().removeprefix("sandbox: ") for line in sandbox_module.describe(found))
    if found.active:
        yield ok("sandbox", " ".join([first, *meaning]))
    else:
        yield warn("sandbox", f"none ({found.reason}): {' '.join(meaning)}", found.remedy)
    yield limits(cgroups.find(settings.limits.memory, settings.limits.processes))


def limits(groups: cgroups.Cgroups) -> Finding:
    """What a program may take; a warning where the settings ask for more than can be held here."""
    first, *meaning = (line.strip() for line in caps.describe(os.geteuid() == 0, groups))
    text = "; ".join([first.removeprefix("limits of a program: "), *meaning])
    if groups.unheld:
        return warn("limits", f"{groups.unheld}; {text}", cgroup_tree.remedy())
    return ok("limits", text)


def canary(run: Run) -> Iterator[Finding]:
    """Whether some gate is red when everything is broken; with the run's lock held, and gates green on the base."""
    if run.settings.canary == "off":
        yield warn(
            "canary", "off in the settings: whether gates notice broken code is not known", "`canary: warn`"
        )
        return
    if run.repository.branch() != run.branch:
        return  # a detached HEAD, which has been told
    answer = canary_module.everything(run, base_of(run))
    if answer.guarded in ("yes", "n/a"):
        yield ok("canary", f"with everything broken: {answer.why}")
        return
    what, *remedies = canary_module.explain(answer).split("\n")
    level = fail if run.settings.canary == "strict" else warn
    yield level("canary", what, " ".join(line.strip() for line in remedies) or "see the gate's output above")
