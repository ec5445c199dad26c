"""`-p tests.crash.no_cgroups`: a run that finds none. Another run on this machine clears what it finds in those of the dead."""

from __future__ import annotations

from pytest_agenttasks.processes import cgroups

vars(cgroups)["find"] = lambda memory, processes: cgroups.NO_CGROUPS
