"""The project that is worked on, and its queue: which tasks there are, and what each may change.

A feature is a shell function in a file of its own. `checks.txt` is the user's: what each function has to give once it is
there. The gate calls them all, so that it notices a wrong result, a file that cannot be loaded, two features with the same
port, and a list that names what is not there.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

AREAS = 16
BUILT_IN = 10
"""Features that are there before the first task."""

PROTECTED = "LICENSE"
"""What nobody may touch, by the memory file."""

PRESENT_VERSION = "{name}_version={version}"

CHECK = r"""# Calls every feature that is there; red when one gives something else than checks.txt says.
set -u
red=0 ports=' '
while read -r area name argument first second; do
  file=src/$area/$name.sh
  [ -e "$file" ] || continue
  . "./$file"
  result=none
  "$name" "$argument"
  eval "version=\${${name}_version:-1} port=\${${name}_port:-}"
  case $version in 1) expected=$first ;; *) expected=$second ;; esac
  [ "$result" = "$expected" ] || { echo "$name $argument: $result, expected $expected"; red=1; }
  [ -z "$port" ] || case $ports in *" $port "*) echo "$name: port $port is taken"; red=1 ;; esac
  ports="$ports$port "
done < checks.txt
for list in src/*/list.txt; do
  [ -e "$list" ] || continue
  while read -r name rest; do
    case $name in '#'*) continue ;; esac
    [ -e "${list%/*}/$name.sh" ] || { echo "$list: $name is not there"; red=1; }
  done < "$list"
done
exit $red
"""

MEMORY = """\
# Project

## Do Not Touch

- LICENSE

## Known Issues

## Active Task Queue

## Completed Tasks Log
"""


@dataclass(frozen=True, slots=True)
class Feature:
    """A function that multiplies and adds; version 2 adds one more."""

    name: str
    area: str
    factor: int
    summand: int

    @property
    def path(self) -> str:
        return f"src/{self.area}/{self.name}.sh"

    @property
    def listing(self) -> str:
        return f"src/{self.area}/list.txt"

    def text(self, version: int, author: str, *, port: int | None = None, wrong: bool = False) -> str:
        summand = self.summand + version - 1 + (100 if wrong else 0)
        lines = [
            f"# {self.name}, version {version}, by {author}",
            f"{self.name}() {{ result=$(( $1 * {self.factor} + {summand} )); }}",
            PRESENT_VERSION.format(name=self.name, version=version),
        ]
        if port is not None:
            lines.append(f"{self.name}_port={port}")
        return "\n".join(lines) + "\n"

    @property
    def check(self) -> str:
        """Its line in checks.txt."""
        one = 3 * self.factor + self.summand
        return f"{self.area} {self.name} 3 {one} {one + 1}"


@dataclass(frozen=True, slots=True)
class Task:
    """`scope` is what the task file says, `writes` the files that it is right to change.

    `kind`: `new` (a file), `listed` (and a line in the list that the area's tasks share), `port` (takes a free one, so that
    two at a time get in each other's way), `change` (of what an earlier task has built), `refused` (its scope is a
    protected file).
    """

    number: int
    kind: str
    feature: Feature
    depends_on: str = ""

    @property
    def name(self) -> str:
        return f"{self.number:04d}-{self.kind}-{self.feature.name}"

    @property
    def version(self) -> int:
        return 2 if self.kind == "change" else 1

    @property
    def writes(self) -> tuple[str, ...]:
        if self.kind == "refused":
            return ()
        return (self.feature.path, *((self.feature.listing,) if self.kind == "listed" else ()))

    @property
    def scope(self) -> tuple[str, ...]:
        if self.kind == "refused":
            return (PROTECTED,)
        return self.writes

    @property
    def text(self) -> str:
        """The task file."""
        front = f"depends_on: [{self.depends_on}]\n" if self.depends_on else ""
        if self.kind == "change":
            present = PRESENT_VERSION.format(name=self.feature.name, version=2)
            front += f"accept: ['grep -qx {present} {self.feature.path}']\n"
        scope = "\n".join(f"- `{path}`" for path in self.scope)
        return (
            f"{f'---{chr(10)}{front}---{chr(10)}' if front else ''}# Task {self.number:04d}: {self.kind} "
            f"{self.feature.name}\n\n## Objective\nVersion {self.version} of `{self.feature.name}`, as checks.txt wants it.\n\n"
            f"## Files in Scope\n{scope}\n\n## Definition of Done\n- `sh check.sh` is green\n"
        )


@cache
def tasks(seed: int, count: int) -> tuple[Task, ...]:
    """The queue; a dependency always has a smaller number."""
    draw = random.Random(f"{seed}/queue")
    made: list[Task] = []
    changeable: list[Task] = []
    kinds = ("new", "listed", "port", "change", "refused")
    for number in range(1, count + 1):
        (kind,) = draw.choices(kinds, (48, 20, 16, 14, 2))
        feature = Feature(
            f"f{number:04d}",
            f"area{draw.randrange(AREAS):02d}",
            draw.randrange(2, 90),
            draw.randrange(1, 900),
        )
        after = ""
        if kind == "change" and changeable:
            before = changeable.pop(draw.randrange(len(changeable)))
            feature, after = before.feature, before.name
        elif kind == "change":
            kind = "new"
        elif made and kind != "refused" and draw.random() < 0.1:
            after = draw.choice(made[-50:]).name
        task = Task(number, kind, feature, after)
        made.append(task)
        if kind in ("new", "listed"):
            changeable.append(task)
    return tuple(made)


def built_in(seed: int) -> tuple[Feature, ...]:
    draw = random.Random(f"{seed}/built-in")
    return tuple(
        Feature(f"b{number:03d}", "core", draw.randrange(2, 90), draw.randrange(1, 900))
        for number in range(BUILT_IN)
    )


def files(seed: int, count: int) -> dict[str, str]:
    """The first commit: path → text."""
    queue = tasks(seed, count)
    features = {task.feature.name: task.feature for task in queue if task.kind != "refused"}
    core = built_in(seed)
    checks = "".join(f"{feature.check}\n" for feature in (*core, *features.values()))
    found = {feature.path: feature.text(1, "the user") for feature in core}
    found |= {f"src/area{number:02d}/list.txt": "# one name a line\n" for number in range(AREAS)}
    found |= {f"tasks/{folder}/.gitkeep": "" for folder in ("pending", "done", "failed")}
    found |= {f"tasks/pending/{task.name}.md": task.text for task in queue}
    return found | {
        "README.md": "# Project\n", PROTECTED: "none\n", "CLAUDE.md": MEMORY, "check.sh": CHECK, "checks.txt": checks,
    }  # fmt: skip
