"""A real git repository as a user has it, for tests."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class UserRepository:
    """A checkout on branch `work`; `git` runs the user's own git in it."""

    path: Path

    def git(self, *args: str, check: bool = True, stdin: str | None = None) -> str:
        done = subprocess.run(
            ["git", *args],
            cwd=self.path,
            capture_output=True,
            text=True,
            check=False,
            input=stdin,
            env=os.environ,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"git {' '.join(args)}: {done.stderr or done.stdout}")
        return done.stdout.rstrip("\n")

    def write(self, name: str, text: str | bytes) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def read(self, name: str) -> str:
        return (self.path / name).read_text()

    def commit(self, message: str = "change", **files: str) -> str:
        for name, text in files.items():
            self.write(name, text)
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def subjects(self) -> list[str]:
        """Commit subjects, oldest first."""
        return self.git("log", "--reverse", "--format=%s").splitlines()

    def files_of(self, revision: str) -> list[str]:
        """The paths that a commit changed."""
        return self.git(
            "diff-tree", "--no-commit-id", "--name-only", "-r", "--no-renames", revision
        ).splitlines()

    def status(self) -> str:
        return self.git("status", "--porcelain")


def make_repository(path: Path, object_format: str = "sha1") -> UserRepository:
    path.mkdir(parents=True)
    repository = UserRepository(path)
    repository.git("init", "-q", "-b", "work", f"--object-format={object_format}")
    return repository


def task_text(
    name: str = "Change a",
    scope: tuple[str, ...] = ("src/a.txt",),
    front: str = "",
    objective: str = "Make the change.",
) -> str:
    """A task file's text."""
    head = f"---\n{front.strip()}\n---\n" if front else ""
    entries = "\n".join(f"- `{entry}`" for entry in scope)
    return (
        f"{head}# {name}\n\n## Objective\n{objective}\n\n## Files in Scope\n{entries}\n\n"
        "## Definition of Done\n- the gates pass\n"
    )
