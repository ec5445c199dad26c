"""Which files the canary breaks, and that whatever reads a broken file stumbles over it (interpreters really run)."""

from __future__ import annotations

import configparser
import json
import shutil
import sqlite3
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.broken_files import garbled, is_document, of_product, of_scope, programs, raising
from pytest_agenttasks.tasks import guarded_files
from pytest_agenttasks.tasks.patterns import fold
from pytest_agenttasks.tasks.scope import Rules, judge
from pytest_agenttasks.tasks.task import ScopeEntry
from pytest_agenttasks.trees.changes import Change
from pytest_agenttasks.trees.replacement import File

RULES = Rules(protected=("billing/",), drop=("generated/",))


def files(*paths: str, mode: str = "100644") -> list[File]:
    return [File(path.encode("utf-8", "surrogateescape"), mode, "1" * 40) for path in paths]


def names(found: tuple[File, ...]) -> list[str]:
    return [file.name for file in found]


def product(*paths: str, rules: Rules = RULES, held: frozenset[str] = frozenset()) -> list[str]:
    return names(of_product(files(*paths), rules, held))


def scope(*patterns: str) -> list[ScopeEntry]:
    return [ScopeEntry(pattern, 1) for pattern in patterns]


def in_scope(*paths: str, patterns: tuple[str, ...], allow_tests: bool = False) -> list[str]:
    return names(of_scope(files(*paths), scope(*patterns), allow_tests, RULES, frozenset()))


def test_the_product_is_broken_and_what_decides_how_gates_run_is_not() -> None:
    assert product(
        "src/app.py", "src/data.json", "web/index.js", "billing/tax.py", "generated/api.py", "bin/tool",
        "tests/test_app.py", "src/app.test.js", "pyproject.toml", "package.json", "conftest.py", "Makefile", ".gitignore",
        ".github/workflows/ci.yml", "uv.lock", "agenttasks.yaml", "CLAUDE.md", "tasks/pending/001-a.md", "README.md",
        "LICENSE", "docs/guide.rst", "logo.png", ".claude/settings.json",
    ) == ["src/app.py", "src/data.json", "web/index.js", "billing/tax.py", "generated/api.py", "bin/tool"]  # fmt: skip


def test_the_memory_file_stays_whatever_its_name_is() -> None:
    rules = Rules(memory_file="notes/Memory.txt")
    assert product("notes/Memory.txt", "notes/memory.txt", "notes/other.txt", rules=rules) == [
        "notes/other.txt"
    ]


def test_tests_are_broken_where_there_is_nothing_else() -> None:
    assert product("tests/test_app.py", "README.md") == ["tests/test_app.py"]
    assert product("README.md", "package.json") == []


def test_what_is_held_stays_whole_with_all_below_it() -> None:
    held = frozenset({"tools/run.py", "vendor"})
    assert product("tools/run.py", "tools/run.pyx", "vendor/a.c", "vendor.c", held=held) == [
        "tools/run.pyx",
        "vendor.c",
    ]


def test_links_and_repositories_within_are_left_alone() -> None:
    for mode in ("120000", "160000"):
        assert of_product(files("src/a.py", mode=mode), RULES, ()) == ()
        assert of_scope(files("src/a.py", mode=mode), scope("src/"), False, RULES, ()) == ()
    assert names(of_product(files("src/a.py", mode="100755"), RULES, ())) == ["src/a.py"]


def test_a_task_is_asked_for_what_it_may_change() -> None:
    there = ("src/a.py", "src/b.py", "billing/x.py", "generated/y.py", "tests/test_a.py", "package.json")
    assert in_scope(*there, patterns=("src/a.py",)) == ["src/a.py"]
    assert in_scope(*there, patterns=("src/",)) == ["src/a.py", "src/b.py"]
    assert in_scope(*there, patterns=("**/*.py", "package.json")) == ["src/a.py", "src/b.py"]
    assert in_scope(*there, patterns=("src/new.py", "docs/")) == []


def test_a_scope_of_tests_alone_is_asked_by_its_tests() -> None:
    there = ("src/a.py", "tests/test_a.py")
    assert in_scope(*there, patterns=("tests/test_a.py",)) == ["tests/test_a.py"]
    assert in_scope(*there, patterns=("tests/",)) == []
    assert in_scope(*there, patterns=("tests/",), allow_tests=True) == ["tests/test_a.py"]
    assert in_scope(*there, patterns=("src/", "tests/"), allow_tests=True) == ["src/a.py"]


@pytest.mark.parametrize(
    "path", ["README", "readme.TXT", "docs/a.md", "LICENSE", "a/b/CHANGELOG.txt", "x.woff2"]
)
def test_documents(path: str) -> None:
    assert is_document(path)


@pytest.mark.parametrize(
    "path", ["history.py", "news.json", "src/a.txt", "md", "a.mdx", "docs/conf.py", "licenses"]
)
def test_no_documents(path: str) -> None:
    assert not is_document(path)


PARTS = (
    "src",
    "tests",
    "docs",
    "tasks",
    "pending",
    "billing",
    "generated",
    ".github",
    "vendor",
    "a",
    "\udcff",
)
ENDS = (
    "app.py", "test_app.py", "conftest.py", "x.test.js", "index.js", "package.json", "README.md", "logo.png", "CLAUDE.md",
    "claude.md", "LICENSE", "data.csv", ".gitignore", "agenttasks.yaml", "run",
)  # fmt: skip
paths = st.builds(
    lambda folders, name: "/".join((*folders, name)),
    st.lists(st.sampled_from(PARTS), max_size=3),
    st.sampled_from(ENDS),
)
patterns = st.sampled_from(
    ["src/", "src/app.py", "**/*.py", "*", "tests/", "CLAUDE.md", "a/package.json", "billing/"]
)


@given(st.lists(paths, unique=True, max_size=12), st.sets(st.sampled_from(["vendor", "src/app.py", "a/run"])))
def test_nothing_is_broken_that_would_make_a_gate_red_by_itself(found: list[str], held: set[str]) -> None:
    broken = product(*found, held=frozenset(held))
    assert set(broken) <= set(found)
    is_test = [guarded_files.usual_test(path) for path in broken]
    assert all(is_test) or not any(is_test)
    for path in broken:
        assert guarded_files.guarded(fold(path), added=False) is None
        assert not is_document(path)
        assert not path.startswith("tasks/")
        assert path not in held
        assert not path.startswith("vendor/") or "vendor" not in held


@given(st.lists(paths, unique=True, max_size=12), st.lists(patterns, min_size=1, max_size=3), st.booleans())
def test_a_task_breaks_only_what_it_could_land_and_what_the_product_has(
    found: list[str], wanted: list[str], allow_tests: bool
) -> None:
    broken = of_scope(files(*found), scope(*wanted), allow_tests, RULES, ())
    changes = [Change(file.path, file.mode, file.mode, file.object_id, file.object_id) for file in broken]
    assert len(judge(scope(*wanted), allow_tests, RULES, changes).allowed) == len(broken)
    everything = set(of_product(files(*found), RULES, ()))
    tests = [file for file in broken if guarded_files.usual_test(file.name)]
    assert set(broken) <= everything or tests == list(broken)


@pytest.mark.parametrize(
    ("line", "started"),
    [
        ("./check.sh", {"check.sh"}),
        ("sh -eu tools/check.sh src/a.py", {"tools/check.sh"}),
        ("cd x && CI=1 python3.12 tools/run.py --all | tee log", {"tools/run.py"}),
        ("uv run python tools/run.py", {"tools/run.py"}),
        ("node --check index.js", set()),
        ("python -m pytest tests/test_a.py", set()),
        ("ruff check src/a.py", set()),
        ("grep -q x src/a.txt", set()),
        ("time bash 'a b.sh'; (exec ./c)", {"a b.sh", "c"}),
        ("echo \"it's", set()),
        ("sh -c 'src/a.sh'", set()),
        ("sh -n src/a.sh", set()),
    ],
)
def test_the_programs_that_a_line_starts(line: str, started: set[str]) -> None:
    there = {
        "check.sh",
        "tools/check.sh",
        "tools/run.py",
        "src/a.py",
        "src/a.sh",
        "index.js",
        "src/a.txt",
        "a b.sh",
        "c",
    }
    there |= {"tests/test_a.py", "log"}
    assert programs(line) & there == started


def test_programs_are_found_from_the_folder_of_the_gate() -> None:
    assert "web/check.sh" in programs("./check.sh", "web")
    assert "check.sh" in programs("../check.sh", "web")


def run_file(tmp_path: Path, name: str, data: bytes, *command: str) -> int:
    file = tmp_path / name
    file.write_bytes(data)
    return subprocess.run(
        [*command, str(file)], cwd=tmp_path, capture_output=True, check=False, timeout=60
    ).returncode


INTERPRETERS = [
    ("a.py", (sys.executable,)),
    ("a.js", ("node",)),
    ("a.mjs", ("node",)),
    ("a.cjs", ("node",)),
    ("a.sh", ("sh",)),
    ("a.bash", ("bash",)),
    ("a.rb", ("ruby",)),
    ("a.php", ("php",)),
]


@pytest.mark.parametrize("how", [raising, garbled])
@pytest.mark.parametrize(("name", "command"), INTERPRETERS, ids=lambda value: str(value))
def test_a_broken_program_fails(
    tmp_path: Path, name: str, command: tuple[str, ...], how: Callable[[str], bytes]
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    assert run_file(tmp_path, name, b"", *command) == 0
    assert run_file(tmp_path, name, how(name), *command) != 0


CHECKS = [
    ("a.py", (sys.executable, "-m", "py_compile")),
    ("a.py", (sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E,F,W,I,D,UP,B,RUF", "--ignore", "D203,D213")),
    ("a.py", (sys.executable, "-m", "ruff", "format", "--isolated", "--check")),
    ("a.js", ("node", "--check")),
    ("a.cjs", ("node", "--check")),
    ("a.sh", ("sh", "-n")),
]  # fmt: skip


@pytest.mark.parametrize(("name", "command"), CHECKS, ids=lambda value: " ".join(value[:3]))
def test_a_linter_finds_a_raising_file_in_order_and_a_garbled_one_not(
    tmp_path: Path, name: str, command: tuple[str, ...]
) -> None:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    assert run_file(tmp_path, name, raising(name), *command) == 0
    assert run_file(tmp_path, name, garbled(name), *command) != 0


def read_ini(text: str) -> None:
    configparser.ConfigParser().read_string(text)


READERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "yaml": yaml.safe_load,
    "toml": tomllib.loads,
    "ini": read_ini,
    "xml": ET.fromstring,
    "sql": sqlite3.connect(":memory:").executescript,
    "py": lambda text: compile(text, "a.py", "exec"),
}


@pytest.mark.parametrize("kind", READERS)
def test_a_broken_document_cannot_be_read(kind: str) -> None:
    with pytest.raises((ValueError, SyntaxError, yaml.YAMLError, configparser.Error, sqlite3.Error)):
        READERS[kind](garbled(f"a.{kind}").decode())


SOURCES = [
    ("a.c", b"int a;\n", ("gcc", "-fsyntax-only")),
    ("a.cpp", b"int a;\n", ("g++", "-fsyntax-only")),
    ("A.java", b"class A {}\n", ("javac",)),
    ("a.rs", b"fn main() {}\n", ("rustc", "--emit=metadata")),
    ("a.go", b"package a\n", ("gofmt", "-l")),
    ("a.pl", b"1;\n", ("perl", "-c")),
]


@pytest.mark.parametrize(("name", "whole", "compiler"), SOURCES, ids=lambda value: str(value))
def test_a_broken_source_does_not_compile(
    tmp_path: Path, name: str, whole: bytes, compiler: tuple[str, ...]
) -> None:
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"no {compiler[0]} here")
    if run_file(tmp_path, name, whole, *compiler) != 0:
        pytest.skip(f"{compiler[0]} does not work here")
    assert run_file(tmp_path, name, raising(name), *compiler) != 0
