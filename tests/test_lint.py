"""What can be said about a queue before anything is spent."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from pathlib import Path

import pytest

from pytest_agenttasks.tasks import base_files, scope_index
from pytest_agenttasks.tasks.lint import lint
from pytest_agenttasks.tasks.scope import Rules
from pytest_agenttasks.tasks.task import Problem, Task, parse

BASE = [
    *("README.md", "conftest.py", "src/auth.ts", "src/keys.ts", "src/core/billing/x.py", "tests/test_a.py"),
    *("docs/guide.md", "CLAUDE.md", ".github/workflows/ci.yml", *(f"lib/f{n}.js" for n in range(20))),
]


def task(
    name: str,
    *scope: str,
    after: Sequence[str] = (),
    objective: str = "Do it.",
    front: str = "",
    folder: str = "pending",
) -> Task:
    head = f"---\ndepends_on: [{', '.join(after)}]\n{front}---\n" if after or front else ""
    text = (
        f"{head}# {name}\n## Objective\n{objective}\n## Definition of Done\n- it works\n## Files in Scope\n"
        + "".join(f"- `{entry}`\n" for entry in scope)
    )
    return parse(Path(f"{folder}/{name}.md"), text.encode())


def found(
    *tasks: Task,
    done: Collection[str] = (),
    failed: Collection[str] = (),
    base: Sequence[str] = (),
    rules: Rules = Rules(),  # noqa: B008
    known: Collection[str] = (),
) -> dict[str, list[Problem]]:
    problems = lint(tasks, done=done, failed=failed, base_paths=base, rules=rules, known=known)
    assert set(problems) == {task.path for task in tasks}
    return {path.stem: list(several) for path, several in problems.items()}


def only(problems: Sequence[Problem]) -> Problem:
    (problem,) = problems
    return problem


def test_a_good_queue_has_no_problems() -> None:
    tasks = [task("001-a", "src/auth.ts"), task("002-b", "src/auth.ts", "docs/", after=["001-a"])]
    assert found(*tasks, base=BASE) == {"001-a": [], "002-b": []}


def test_a_tasks_own_problems_are_kept_in_order() -> None:
    problems = found(task("001-a", "../x", after=["nothing"]))["001-a"]
    assert [(p.line, p.hint) for p in problems] == [(2, False), (10, False)]


def test_names_must_be_unique_over_all_folders_whatever_their_case() -> None:
    problems = found(task("A", "a.py"), task("a", "b.py"), task("b", "c.py"), done=["B"], failed=["c"])
    assert "`a.md`" in only(problems["A"]).message
    assert "`A.md`" in only(problems["a"]).message
    assert "in done/ already" in only(problems["b"]).message
    assert "in failed/ already" in only(found(task("C", "a.py"), failed=["c"])["C"]).message
    assert {(p.line, p.hint) for several in problems.values() for p in several} == {(0, False)}


def test_a_dependency_must_exist() -> None:
    problem = only(found(task("002-b", "a.py", after=["001-a"]))["002-b"])
    assert (problem.line, problem.hint) == (2, False)
    assert "depends on `001-a`, which is in no folder" in problem.message
    for where in ({"done": ["001-a"]}, {"known": ["001-a"]}):
        assert found(task("002-b", "a.py", after=["001-a"]), **where)["002-b"] == []  # type: ignore[arg-type]


def test_a_failed_dependency_is_a_hint() -> None:
    problem = only(found(task("002-b", "a.py", after=["001-a"]), failed=["001-a"])["002-b"])
    assert (problem.line, problem.hint) == (2, True)
    assert "agenttasks requeue 001-a" in problem.message


@pytest.mark.parametrize("wrong", ["001-Extract-Pool", "'001'", "001-extract-pol"])
def test_a_misspelt_dependency_gets_a_suggestion(wrong: str) -> None:
    problem = only(found(task("002-b", "a.py", after=[wrong]), done=["001-extract-pool"])["002-b"])
    assert "did you mean `001-extract-pool`?" in problem.message


def test_the_line_of_a_dependency_is_its_own() -> None:
    head = "---\ntags: [x]\ndepends_on:\n  - a-1\n  - a\n---\n"
    text = head + "# a\n## Objective\na\n## Definition of Done\n- x\n## Files in Scope\n- q\n"
    problems = found(parse(Path("pending/z.md"), text.encode()), done=["a-1"])["z"]
    assert only(problems).line == 5


def test_a_circle_is_named_to_everyone_in_it() -> None:
    tasks = [task("a", "a.py", after=["c"]), task("b", "b.py", after=["a"]), task("c", "c.py", after=["b"])]
    outside = task("d", "d.py", after=["a"])
    problems = found(*tasks, outside)
    for name in "abc":
        problem = only(problems[name])
        assert "a → c → b → a" in problem.message
        assert (problem.line, problem.hint) == (2, False)
    assert problems["d"] == []


def test_a_long_circle_is_abbreviated() -> None:
    names = [f"t{n:03}" for n in range(200)]
    problems = found(*(task(name, f"{name}.py", after=[names[n - 1]]) for n, name in enumerate(names)))
    assert len(only(problems["t100"]).message) < 200


def test_a_self_dependency_is_said_once() -> None:
    assert "itself" in only(found(task("a", "a.py", after=["a"]))["a"]).message


def test_a_scope_that_reaches_a_protected_path_is_an_error() -> None:
    rules = Rules(protected=("src/core/billing/", "*.pem"))
    problem = only(found(task("a", "docs/x.md", "src/"), rules=rules)["a"])
    assert (problem.line, problem.hint) == (8, False)
    assert "`src/` reaches protected `src/core/billing/`" in problem.message
    assert "never writable" in only(found(task("a", "tasks/"))["a"]).message


def test_a_protected_name_is_a_folder_only_where_no_file_has_it() -> None:
    rules = Rules(protected=("LICENSE",))
    assert "reaches protected `LICENSE`" in only(found(task("a", "*.py"), rules=rules)["a"]).message
    with_file = [*BASE, "LICENSE"]
    assert not [p for p in found(task("a", "*.py"), base=with_file, rules=rules)["a"] if not p.hint]
    for entry in ("L*", "LICENSE"):
        (problem,) = [p for p in found(task("a", entry), base=with_file, rules=rules)["a"] if not p.hint]
        assert "protected `LICENSE`" in problem.message


def test_a_protected_file_that_exists_in_a_scope_is_an_error_too() -> None:
    rules = Rules(protected=("*.pem",))
    base = [*BASE, "certs/a.pem"]
    assert only(found(task("a", "certs/"), base=base, rules=rules)["a"]).message.endswith(
        "reaches protected `certs/a.pem`"
    )
    assert found(task("a", "docs/"), base=base, rules=rules)["a"] == []
    assert found(task("a", "certs/"), rules=rules)["a"] == []
    assert only(found(task("a", "certs/a.pem"), base=base, rules=rules)["a"]).message.endswith(
        "protected `*.pem`"
    )


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("src/core", "`src/core` is a folder; write `src/core/`"),
        ("src/Auth.ts", "did you mean `src/auth.ts`?"),
        ("Src/", "did you mean `src/`?"),
        ("scr/auth.ts", "neither does its folder"),
        ("scr/", "`scr/` matches nothing yet"),
        ("src/*.js", "`src/*.js` matches nothing yet"),
        ("CLAUDE.md", "memory file"),
        ("docs/guide.md", "under `drop`"),
        ("tests/", "read-only: `tests/test_a.py` is an existing test"),
        ("tests/*.py", "read-only"),
        (".github/", "read-only"),
        ("lib/", "more than 15 files"),
        ("lib/*.js", "more than 15 files"),
    ],
)
def test_an_entry_that_may_not_mean_what_it_says_gets_a_hint(entry: str, words: str) -> None:
    problem = only(found(task("a", entry), base=BASE, rules=Rules(drop=("docs/guide.md",)))["a"])
    assert problem.hint
    assert problem.line == 7
    assert words in problem.message


@pytest.mark.parametrize(
    "entry", ["src/new.ts", "new.py", "src/", "src/*.ts", "tests/test_a.py", "conftest.py", "docs/"]
)
def test_a_sensible_entry_gets_none(entry: str) -> None:
    assert found(task("a", entry), base=BASE)["a"] == []


def test_allowed_tests_are_not_read_only() -> None:
    assert found(task("a", "tests/", front="allow_tests: true\n"), base=BASE)["a"] == []


def test_files_are_counted_once_over_all_entries() -> None:
    fifteen = [f"lib/f{n}.js" for n in range(15)]
    assert found(task("a", *fifteen, "lib/f1*.js"), base=BASE[:-5])["a"] == []
    assert "more than 15" in only(found(task("a", *fifteen, "lib/f15.js"), base=BASE)["a"]).message


def test_without_a_base_nothing_is_said_about_what_a_scope_matches() -> None:
    assert found(task("a", "scr/", "nowhere/x.py", objective="See `src/auth.ts`."))["a"] == []


@pytest.mark.parametrize(
    "objective",
    [
        "Use `src/auth.ts` for it.",
        "Use src/auth.ts.",
        "Use **src/auth.ts**, then stop",
        "see (src/auth.ts:12-30)",
        "see ./src/auth.ts#L12",
        "[it](src/auth.ts)",
    ],
)
def test_an_objective_that_names_a_file_outside_the_scope_gets_a_hint(objective: str) -> None:
    problem = only(found(task("a", "src/keys.ts", objective=f"First line.\n{objective}"), base=BASE)["a"])
    assert problem.hint
    assert problem.line == 4
    assert "names `src/auth.ts`, which is not in Files in Scope" in problem.message


@pytest.mark.parametrize(
    "objective", ["Use `src/keys.ts`.", "Use src and lib.", "Look in `src/`.", "See `src/none.ts`."]
)
def test_an_objective_that_names_nothing_else_gets_none(objective: str) -> None:
    assert found(task("a", "src/keys.ts", objective=objective), base=BASE)["a"] == []


def test_an_objective_that_names_a_folder_outside_the_scope_gets_a_hint() -> None:
    assert (
        "`docs/`"
        in only(found(task("a", "src/keys.ts", objective="Move it to docs/."), base=BASE)["a"]).message
    )


def test_overlap_without_an_order_is_said_to_the_later_task() -> None:
    problems = found(task("a", "src/auth.ts"), task("b", "docs/", "src/"), task("c", "src/keys.ts"))
    assert problems["a"] == []
    hint = only(problems["b"])
    assert (hint.line, hint.hint) == (8, True)
    assert "`src/` overlaps with `a`;" in hint.message
    assert "overlaps with `b`;" in only(problems["c"]).message


def test_overlap_in_order_is_fine_even_if_the_order_is_indirect() -> None:
    tasks = [task("a", "x.py"), task("b", "y.py", after=["a"]), task("c", "x.py", after=["b"])]
    assert found(*tasks)["c"] == []
    reverse = [task("a", "x.py", after=["c"]), task("c", "x.py")]
    assert found(*reverse) == {"a": [], "c": []}


def test_many_overlaps_are_summed_up() -> None:
    problems = found(*(task(f"t{n}", "x.py") for n in range(9)))
    assert "`t0`, `t1`, `t2` and 5 more" in only(problems["t8"]).message
    assert "`t0`, `t1`, `t2`;" in only(problems["t3"]).message


def test_too_many_scopes_for_overlaps_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scope_index, "MOST_SCOPES", 1)
    problem = only(found(task("a", "x.py"), task("b", "x.py"))["a"])
    assert (problem.line, problem.hint) == (0, True)
    assert "too many" in problem.message


def test_globs_that_were_not_tried_get_no_hint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_files, "MOST_LOOKED_AT", 0)
    assert found(task("a", "nothing/*.py", "*.none"), base=["nothing/a.py"])["a"] == []


def test_thousands_of_tasks_are_linted_in_seconds() -> None:
    base = [f"src/m{n % 200}/f{n}.py" for n in range(20_000)]
    tasks = [
        task(
            f"t{n:05}",
            f"src/m{n % 200}/f{n}.py",
            f"src/m{n % 97}/",
            "*.md",
            after=[f"t{n - 1:05}"] if n % 3 else [],
        )
        for n in range(2_000)
    ]
    begun = time.process_time()
    problems = found(*tasks, base=base, rules=Rules(protected=("migrations/", "**/*.pem")))
    assert time.process_time() - begun < 6
    assert all(several for several in list(problems.values())[1:3])
