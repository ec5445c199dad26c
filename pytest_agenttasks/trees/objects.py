"""Git objects without a process for each: a kept reader, and trees as Python sees them."""

from __future__ import annotations

import os
import re
import subprocess
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple, Protocol

from .changes import shown
from .git import GitError, absolute_path

TREE_MODE = "040000"
SMALL = 64 * 1024
"""Bytes of an object that is remembered."""
MANY = 2000
_IDS = re.compile(r"([0-9a-f]{40}|[0-9a-f]{64})(\^\{\w+\})?")
_CANONICAL = {b"40000": TREE_MODE, b"100664": "100644"}


class Entry(NamedTuple):
    """What a tree holds under one name: git's six octal digits, and a hex id."""

    mode: str
    object_id: str


class Stored(NamedTuple):
    """An object; `kind` is blob, tree, commit or tag."""

    object_id: str
    kind: str
    data: bytes


class ObjectReader:
    """A `git cat-file --batch` that is kept, started when first needed.

    It is in a session of its own: a Ctrl-C in the terminal is not meant for it. It ends with this object.
    What a whole id names never changes, so small objects are asked for once.
    """

    _COMMAND = ("git", "cat-file", "--batch")

    def __init__(self, cwd: Path, env: Mapping[str, str]) -> None:
        self._cwd, self._env = cwd, env
        self._process: subprocess.Popen[bytes] | None = None
        self._known: OrderedDict[str, Stored] = OrderedDict()
        self._busy = threading.Lock()

    def read(self, name: str) -> Stored:
        """The object with this hex id, or that this revision names now. Raises GitError when there is none."""
        with self._busy:
            found = self._known.get(name)
        return found or self.read_anew(name)

    def read_anew(self, name: str) -> Stored:
        """`read`, asking git whatever is known: the object is there now."""
        with self._busy:
            answer = self._ask(name) or self._ask(name)  # somebody may have ended it while it was idle
            if answer is None:
                raise GitError(self._COMMAND, 128, f"ended when asked for {name}")
            self._remember(name, answer)
        return answer

    def learn(self, stored: Stored) -> None:
        """Remember an object that has been written just now."""
        with self._busy:
            self._remember(stored.object_id, stored)
            if stored.kind == "tree":
                self._remember(f"{stored.object_id}^{{tree}}", stored)

    def _remember(self, name: str, stored: Stored) -> None:
        if _IDS.fullmatch(name) and len(stored.data) <= SMALL:
            self._known[name] = stored
            if len(self._known) > MANY:
                self._known.popitem(last=False)

    def _ask(self, name: str) -> Stored | None:
        process = self._process or self._start()
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(name.encode() + b"\n")
            process.stdin.flush()
            head = process.stdout.readline()
            match head.split():
                case [object_id, kind, size]:
                    content = process.stdout.read(int(size) + 1)
                    if len(content) == int(size) + 1:
                        return Stored(object_id.decode(), kind.decode(), content[:-1])
                case [_, *_]:
                    raise GitError(self._COMMAND, 128, shown(head))
        except BrokenPipeError:
            pass  # no answer either
        except BaseException:
            self.close()  # the rest of this answer must not be taken for the next one
            raise
        self.close()
        return None

    def _start(self) -> subprocess.Popen[bytes]:
        self._process = subprocess.Popen(
            self._COMMAND, cwd=self._cwd, env={**os.environ, **self._env, "PATH": absolute_path()},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip
        self._end = weakref.finalize(self, _end, self._process)
        return self._process

    def close(self) -> None:
        if self._process is not None:
            self._end()
            self._process = None


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        try:
            if pipe is not None:
                pipe.close()
        except BrokenPipeError:
            continue  # what was not sent any more


class Store(Protocol):
    """A repository to read objects from: the user's or the private one."""

    def read(self, name: str) -> Stored: ...


def read_tree(store: Store, tree: str | None) -> dict[bytes, Entry]:
    """The entries of a tree, or of a commit's tree; none for None."""
    return {} if tree is None else dict(parse_tree(store.read(f"{tree}^{{tree}}").data, len(tree) // 2))


def entries(store: Store, tree: str, paths: Iterable[bytes]) -> dict[bytes, Entry]:
    """Those of `paths` that `tree` holds, folders too."""
    trees: dict[str, dict[bytes, Entry]] = {}
    found = {}
    for path in paths:
        entry: Entry | None = Entry(TREE_MODE, tree)
        for name in path.split(b"/"):
            if entry is None or entry.mode != TREE_MODE:
                entry = None
                break
            if entry.object_id not in trees:
                trees[entry.object_id] = read_tree(store, entry.object_id)
            entry = trees[entry.object_id].get(name)
        if entry is not None:
            found[path] = entry
    return found


def blob(store: Store, object_id: str) -> bytes:
    return store.read(object_id).data


@lru_cache(500)
def parse_tree(data: bytes, id_bytes: int) -> Mapping[bytes, Entry]:
    """The entries of a tree object, by name."""
    entries = {}
    at = 0
    while at < len(data):
        space = data.index(b" ", at)
        end = data.index(b"\0", space)
        mode = data[at:space]
        object_id = data[end + 1 : end + 1 + id_bytes].hex()
        entries[data[space + 1 : end]] = Entry(_CANONICAL.get(mode) or mode.decode(), object_id)
        at = end + 1 + id_bytes
    return entries


def format_tree(entries: Mapping[bytes, Entry]) -> bytes:
    """The tree object with these entries."""
    ordered = sorted(
        (name + b"/" * (entry.mode == TREE_MODE), name, entry) for name, entry in entries.items()
    )
    return b"".join(
        b"%s %s\0%s" % (entry.mode.lstrip("0").encode(), name, bytes.fromhex(entry.object_id))
        for _, name, entry in ordered
    )
