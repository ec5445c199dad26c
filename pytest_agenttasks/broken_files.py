"""Which files the canary breaks, and what a broken file looks like. Pure: nothing here touches a repository.

The product is what is broken. What decides how gates work stays whole, else they would be red for a reason that says
nothing: gate and tool configuration, what `setup` installs from, the programs that gates start, and the tests, which
are to fail because the product does.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

from .tasks.patterns import fold
from .tasks.scope import EXISTING_TEST, Rules, judge, matching, read_only
from .tasks.task import ScopeEntry
from .trees.changes import REGULAR_MODES, Change
from .trees.replacement import File


def of_product(files: Iterable[File], rules: Rules, held: Collection[str]) -> tuple[File, ...]:
    """All that a run's first question breaks: the product, protected files too; the tests where there is nothing else.

    `held` are files and folders, from the top, that stay whole: see `programs`.
    """
    return _telling(files, rules, held)


def of_scope(
    files: Iterable[File],
    entries: Sequence[ScopeEntry],
    allow_tests: bool,
    rules: Rules,
    held: Collection[str],
) -> tuple[File, ...]:
    """What a task's question breaks: those existing files that it may change, the tests only where it has no others."""
    by_path = {file.path: file for file in files if file.mode in REGULAR_MODES}
    covered = matching(entries, [file.name for file in by_path.values()])
    changes = [
        Change(file.path, file.mode, file.mode, file.object_id, file.object_id)
        for file in (by_path[name.encode("utf-8", "surrogateescape")] for name in covered)
    ]
    writable = judge(entries, allow_tests, rules, changes).allowed
    return _telling([by_path[change.path] for change in writable], rules, held)


def _telling(files: Iterable[File], rules: Rules, held: Collection[str]) -> tuple[File, ...]:
    product, tests = [], []
    open_rules = replace(rules, protected=(), drop=())
    memory = fold(rules.memory_file)
    for file in files:
        name = file.name
        if file.mode not in REGULAR_MODES or fold(name) == memory or _held(name, held) or is_document(name):
            continue
        why = read_only(name, open_rules)
        if why is None:
            product.append(file)
        elif why == EXISTING_TEST:
            tests.append(file)
    return tuple(product or tests)


def _held(name: str, held: Collection[str]) -> bool:
    parts = name.split("/")
    return any("/".join(parts[:end]) in held for end in range(1, len(parts) + 1))


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DOCUMENT_ENDS = tuple(
    _names("""
    .md .markdown .rst .adoc .asciidoc .textile .org .rdoc .pdf .doc .docx .odt
    .png .jpg .jpeg .gif .webp .avif .bmp .ico .tif .tiff .svg .ttf .otf .woff .woff2 .eot
    .mp3 .wav .ogg .flac .mp4 .webm .mov .avi
""")
)
_DOCUMENT_NAMES = _names("""
    readme license licence copying notice authors contributors contributing changelog changes history news todo
    security code_of_conduct maintainers
""")


def is_document(path: str) -> bool:
    """Whether no gate can be expected to notice this file's content: prose, pictures, fonts, sound, film."""
    name = fold(path).rpartition("/")[2]
    stem, dot, end = name.partition(".")
    return name.endswith(_DOCUMENT_ENDS) or (stem in _DOCUMENT_NAMES and (not dot or end == "txt"))


_SHELLS = _names("sh bash dash zsh ksh")
_INTERPRETERS = _SHELLS | _names(
    ". source exec env time nice command python ruby perl php node deno bun tsx ts-node"
)
_SHELL_OPTION = re.compile(r"-[abefhuvxEo]+|pipefail")
_SEPARATORS = frozenset(";&|()\n")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_VERSION = re.compile(r"[\d.]+$")


def programs(line: str, folder: str | None = None) -> frozenset[str]:
    """The files, relative to the top, that a gate's shell line starts as programs: `./check.sh`, `python tools/run.py`.

    `folder` is where the line runs. Words that start nothing of the repository may be among them.
    """
    found = set()
    start, shell = True, False
    for word in _words(line):
        if _SEPARATORS.issuperset(word):
            start, shell = True, False
            continue
        if start and (_ASSIGNMENT.match(word) or (shell and _SHELL_OPTION.fullmatch(word))):
            continue
        if start:
            found.add(posixpath.normpath(posixpath.join(folder or ".", word)))
        # What an interpreter is given first is a program too; after an option of it nothing is certain.
        name = _VERSION.sub("", posixpath.basename(word)) or word
        start, shell = (start and name in _INTERPRETERS) or word == "run", name in _SHELLS
    return frozenset(found)


def _words(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|()\n")
    lexer.whitespace = " \t\r"
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError:  # a quote that only a shell understands
        return line.split()


_WHY = "Broken on purpose: the canary of agenttasks asks whether a gate notices."
_RAISING: dict[str, str] = {
    **dict.fromkeys((".py", ".pyw"), f'"""{_WHY}"""\n\nraise RuntimeError\n'),
    **dict.fromkeys((".js", ".mjs", ".cjs", ".jsx"), f"// {_WHY}\nthrow new Error();\n"),
    **dict.fromkeys((".ts", ".mts", ".cts", ".tsx"), f"// {_WHY}\nexport {{}};\nthrow new Error();\n"),
    **dict.fromkeys((".sh", ".bash"), f"#!/bin/sh\n# {_WHY}\nexit 97\n"),
    ".rb": f"# frozen_string_literal: true\n\n# {_WHY}\nraise\n",
    ".php": f"<?php\n\n// {_WHY}\n\nthrow new RuntimeException();\n",
}
GARBLED = f'}} ) ] <?php }} {{% if {{{{#if <% {{#if <script> /* {_WHY} "\n'
"""No program, document or record of any language: a `}` that nothing has opened is the first that all of them see (YAML
and shells too, which take most else for a word); the rest is for templates, where text is fine anywhere."""


def raising(path: str) -> bytes:
    """A file that any program which loads it dies of, but that a linter or formatter finds in order.

    Else a linter, which reads every file, would answer for tests that load none. Garbled where the language has no such
    file: its compiler notices either way.
    """
    name = fold(path)
    if name.endswith(".d.ts"):
        return garbled(path)
    return _RAISING.get(posixpath.splitext(name)[1], GARBLED).encode()


def garbled(_path: str) -> bytes:
    """A file that whatever reads it, as any language, stumbles over; text, so that no filter or encoding does."""
    return GARBLED.encode()
