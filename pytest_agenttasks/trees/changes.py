"""What a git tree comparison yields. Paths are bytes: git promises nothing else about them."""

from __future__ import annotations

from dataclasses import dataclass

ABSENT_MODE = "000000"
REGULAR_MODES = frozenset({"100644", "100755"})
SYMLINK_MODE = "120000"
GITLINK_MODE = "160000"


def parents(path: bytes) -> list[bytes]:
    """The folders above a path, outermost first."""
    parts = path.split(b"/")
    return [b"/".join(parts[:n]) for n in range(1, len(parts))]


def shown(path: bytes) -> str:
    """A path, or what git says, for people: undecodable bytes shown as escapes."""
    return path.decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class Change:
    """One path that differs between two trees; modes are git's six octal digits, objects are hex ids."""

    path: bytes
    old_mode: str
    new_mode: str
    old_object: str
    new_object: str

    @property
    def added(self) -> bool:
        return self.old_mode == ABSENT_MODE

    @property
    def deleted(self) -> bool:
        return self.new_mode == ABSENT_MODE

    @property
    def name(self) -> str:
        """The path for people: undecodable bytes shown as escapes."""
        return shown(self.path)

    @property
    def verb(self) -> str:
        if self.added:
            return "added"
        if self.deleted:
            return "deleted"
        return "modified" if self.old_object != self.new_object else "mode changed"
