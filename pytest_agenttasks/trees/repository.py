"""The user's repository: where it is, and how it is read."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..outcome import SetupError
from ..state_file import put
from . import git as git_module
from .git import DEAF, MINIMUM, NO_HOOKS, GitError, git, overriding
from .objects import ObjectReader, Stored

PINNED = (
    "filter.",
    "core.autocrlf",
    "core.eol",
    "core.ignorecase",
    "core.precomposeunicode",
    "core.symlinks",
    "core.filemode",
    "core.excludesfile",
    "core.attributesfile",
    "safe.directory",
    "user.",
)
"""The user's own settings that decide what a file's content is in git, read before the first agent starts."""

PROGRAMS = (".clean", ".smudge", ".process")
"""The settings of a filter that name a program; empty, they name none."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who commits: `author` and `committer` as git writes them, without the time."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Repository:
    """One checkout of the user's repository, and the pinned way to read and move it.

    `settings` are the pinned configuration values (key → last value) of every scope. `plain_objects`: whether new
    objects need nothing but their bytes (no permissions of a shared repository, no ids of a second hash).
    """

    top: Path
    git_dir: Path
    common_dir: Path
    object_format: str
    settings: Mapping[str, str]
    identity: Identity | None
    plain_objects: bool = True
    _reader: ObjectReader = field(init=False, repr=False, compare=False)
    _held: dict[str, str] = field(default_factory=dict, init=False, repr=False, compare=False)
    _own_settings: tuple[bytes, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_own_settings", self._read_own_settings())
        object.__setattr__(self, "_reader", ObjectReader(self.top, self.environment))

    @property
    def home(self) -> Path:
        """The runner's own folder: journal, locks, attempts."""
        return self.common_dir / "agenttasks"

    @property
    def id_bytes(self) -> int:
        """Bytes of an object's id."""
        return hashlib.new(self.object_format, usedforsecurity=False).digest_size

    @property
    def environment(self) -> dict[str, str]:
        return {
            **DEAF,
            **overriding({**NO_HOOKS, **self._held}),
            "GIT_CONFIG_GLOBAL": str(self.home / "user.gitconfig"),
            "GIT_DIR": str(self.git_dir),
            "GIT_WORK_TREE": str(self.top),
        }

    def hold_filters(self) -> None:
        """From now on use the filters that were configured when this repository was discovered, and no others.

        An agent may have written into the repository's own configuration, and git would start what is named there.
        """
        self._held.clear()
        known = self._own_settings
        if self._read_own_settings() == known and not any(b"include" in text.lower() for text in known):
            return
        now = {key for key, _ in _entries(self.line("config", "--list", "-z")) if key.startswith("filter.")}
        pinned = {key: value for key, value in self.settings.items() if key.startswith("filter.")}
        self._held.update(
            {key: "" if key.endswith(PROGRAMS) else "false" for key in now - pinned.keys()} | pinned
        )

    def _read_own_settings(self) -> tuple[bytes, ...]:
        files = (self.common_dir / "config", self.git_dir / "config.worktree")
        return tuple(file.read_bytes() if file.is_file() else b"" for file in files)

    @property
    def identifier(self) -> str:
        """A folder name of its own for this repository, stable over runs."""
        digest = hashlib.sha256(os.fsencode(self.common_dir)).hexdigest()[:12]
        return f"{self.top.name}-{digest}"

    def git(
        self,
        *args: str,
        stdin: bytes | Path | None = None,
        accept: tuple[int, ...] = (0,),
        index: Path | None = None,
    ) -> bytes:
        environment = self.environment
        if index is not None:
            environment["GIT_INDEX_FILE"] = str(index)
        return git(args, cwd=self.top, env=environment, stdin=stdin, accept=accept)

    def line(self, *args: str) -> str:
        return self.git(*args).decode("utf-8", "surrogateescape").rstrip("\n")

    def read(self, name: str) -> Stored:
        """One object, by its id or by a revision. Raises GitError when there is none."""
        return self._reader.read(name)

    def read_anew(self, name: str) -> Stored:
        """`read`, but never what is remembered: the object is there now."""
        return self._reader.read_anew(name)

    def branch(self) -> str | None:
        """The checked-out branch as a full ref name, None when HEAD is detached."""
        head = (self.git_dir / "HEAD").read_bytes().rstrip(b"\n")
        if head.startswith(b"ref: refs/heads/") and not head.endswith(b"/.invalid"):
            return os.fsdecode(head[len(b"ref: ") :])
        # Detached, or kept in a way that is git's own affair.
        name = (
            self.git("symbolic-ref", "-q", "HEAD", accept=(0, 1)).decode("utf-8", "surrogateescape").strip()
        )
        return name or None

    def tip(self) -> str:
        """The commit that is checked out. Raises SetupError when there is none yet."""
        try:
            return self.read("HEAD^{commit}").object_id
        except GitError as error:
            if self.git("rev-parse", "-q", "--verify", "HEAD", accept=(0, 1)):
                raise
            raise SetupError(
                f"{self.top}: no commit yet; make a first one, e.g. `git add -A && git commit -m 'first commit'`"
            ) from error

    def tree_of(self, commit: str) -> str:
        return self.read(f"{commit}^{{tree}}").object_id


def discover(start: Path) -> Repository:
    """The repository around `start`. Raises SetupError when there is none, or when git is missing or too old."""
    found = git_module.version()
    if found == (0,):
        raise SetupError("git is not installed or not on PATH; install git 2.39 or newer")
    if found < MINIMUM:
        raise SetupError(
            f"git {'.'.join(map(str, found))} is too old; install git {'.'.join(map(str, MINIMUM))} or newer"
        )
    callers = git_module.take_callers_environment()
    own = {k: v for k, v in callers.items() if k.startswith(("GIT_CONFIG", "GIT_AUTHOR", "GIT_COMMITTER"))}
    quiet = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    environment = {**os.environ, **own, **quiet, "PATH": git_module.absolute_path()}
    _KEPT.update(own)
    environment.update(_KEPT)
    places = _ask(
        environment, start, "rev-parse", "--path-format=absolute", "--show-toplevel", "--absolute-git-dir",
        "--git-common-dir", "--show-object-format",
    )  # fmt: skip
    lines = places.stdout.splitlines()
    if places.returncode != 0 or len(lines) != 4:
        words = places.stderr.strip()
        if "dubious ownership" in words:
            raise SetupError(f"{start}: git refuses this repository: {words}")
        raise SetupError(
            f"{start}: not inside a git checkout; run `git init` and commit, or change into a repository"
        )
    top, git_dir, common_dir, object_format = lines
    raw = _ask(environment, start, "config", "--list", "-z").stdout
    settings: dict[str, str] = {}
    plain_objects = True
    for entry in raw.split("\0")[:-1]:
        key, with_value, value = entry.partition("\n")
        if key.startswith(PINNED):
            settings[key] = value if with_value else "true"
        if key in ("core.sharedrepository", "extensions.compatobjectformat"):
            plain_objects = False
    for key in ("core.excludesfile", "core.attributesfile"):
        if key in settings:
            settings[key] = str(Path(settings[key]).expanduser())
    repository = Repository(
        top=Path(top),
        git_dir=Path(git_dir),
        common_dir=Path(common_dir),
        object_format=object_format,
        settings=settings,
        identity=_identity(environment, start),
        plain_objects=plain_objects,
    )
    repository.home.mkdir(parents=True, exist_ok=True)
    write_config(repository.home / "user.gitconfig", settings)
    return repository


def _entries(listed: str) -> Iterator[tuple[str, str]]:
    """The keys and values of `git config --list -z`."""
    for entry in listed.split("\0")[:-1]:
        key, with_value, value = entry.partition("\n")
        yield key, value if with_value else "true"


_KEPT: dict[str, str] = {}
"""The caller's identity and configuration variables, which the first discovery took out of the environment."""


def write_config(file: Path, settings: Mapping[str, str]) -> None:
    """A git configuration file holding exactly `settings`, replaced in one step."""
    put(file, config_text(settings))


def config_text(settings: Mapping[str, str]) -> bytes:
    lines = []
    for key, value in sorted(settings.items()):
        section, _, name = key.rpartition(".")
        head, _, sub = section.partition(".")
        quoted = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        title = f'[{head} "{_escaped(sub)}"]' if sub else f"[{head}]"
        lines.append(f'{title}\n\t{name} = "{quoted}"\n')
    return "".join(lines).encode("utf-8", "surrogateescape")


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _ask(environment: Mapping[str, str], start: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *args],
        cwd=start,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        check=False,
    )


def _identity(environment: Mapping[str, str], start: Path) -> Identity | None:
    asked = _ask(environment, start, "-c", "user.useConfigOnly=true", "var", "GIT_COMMITTER_IDENT")
    if asked.returncode != 0:
        return None
    name, _, rest = asked.stdout.rpartition(" <")
    email = rest.partition(">")[0]
    return Identity(name, email) if name and email else None


def is_ancestor(repository: Repository, older: str, newer: str) -> bool:
    """Whether `older` is reachable from `newer`; False too when it is no longer in the repository."""
    try:
        repository.git("merge-base", "--is-ancestor", older, newer)
    except GitError as error:
        if error.status in (1, 128):
            return False
        raise
    return True
