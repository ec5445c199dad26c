"""What each safeguard that can be turned off adds to a task."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from . import tables
from .per_task import AGENT, Place
from .repositories import CHANGED, make_repository
from .timing import in_turns, median

TITLE = "What safeguards add to a task"
EXPLANATION = """\
The runner's time for a task (queues of ten, measured as above, agent and gate included) without any of them, and what is added
by each alone. The canary and an `accept:` command are one more run of a gate each (here `true` and `grep`), on a tree that the
checkout has to be moved to."""

_QUIET = {"sandbox": "none", "canary": "off"}
_WITH = {"sandbox": {"sandbox": "auto"}, "canary": {"canary": "warn"}, "accept": {}}


def measure(folder: Path, *, short: bool) -> str:
    rows = []
    for files in (1000,) if short else (1000, 20_000):
        plain = _place(folder / f"plain-{files}", files, _QUIET)
        places = [plain]
        for name, settings in _WITH.items():
            place = _place(folder / f"{name}-{files}", files, {**_QUIET, **settings})
            place.accept = f"grep -q {{name}} {CHANGED}" if name == "accept" else ""
            places.append(place)
        found = in_turns(2 if short else 3, *(partial(_each, place) for place in places))
        base, *others = (median(times) for times in found)
        cells = [tables.milliseconds(base), *(tables.milliseconds(other - base) for other in others)]
        rows.append((tables.count(files), *cells))
    return tables.table(("files", "without", *(f"+ {name}" for name in _WITH)), rows)


def _each(place: Place) -> float:
    """Seconds a task in a queue of ten, collecting and reporting taken off by a queue of one."""
    return (place.runner(10) - place.runner(1)) / 9


def _place(folder: Path, files: int, settings: dict[str, str]) -> Place:
    folder.mkdir()
    agent = folder / "agent.sh"
    agent.write_text(AGENT)
    text = f"gates: [{{name: tests, run: 'true'}}]\nagent: {{name: command, command: 'sh {agent}'}}\n"
    text += "".join(f"{key}: {value}\n" for key, value in settings.items())
    place = Place(make_repository(folder / "project", files, {"agenttasks.yaml": text}), agent)
    place.runner(1)  # the first run makes the workspaces
    return place
