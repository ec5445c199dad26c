"""What the user typed for another machine, and what it is called in messages."""

from __future__ import annotations

from dataclasses import dataclass

from ..report.printable import one_line


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """`spec` as execnet reads it: `ssh=user@host//python=…`."""

    spec: str

    @property
    def _parts(self) -> dict[str, str]:
        pairs = (part.partition("=") for part in self.spec.split("//"))
        return {key: value for key, _, value in pairs}

    @property
    def name(self) -> str:
        """The host as it was typed."""
        words = (self._parts.get("ssh") or self._parts.get("vagrant_ssh") or "").split()
        return one_line(words[-1] if words else f"--tx {self.spec}", 80)

    @property
    def python(self) -> str:
        return self._parts.get("python") or "python3"

    def trial(self) -> str:
        """What to type to see what is wrong."""
        if "ssh" in self._parts:
            config = f"-F {self._parts['ssh_config']} " if "ssh_config" in self._parts else ""
            command = f"ssh {config}-o BatchMode=yes {self._parts['ssh']} {self.python} --version"
            return f"this has to work without asking anything: `{one_line(command, 300)}`"
        return f"`{one_line(self.python)} --version` has to work"
