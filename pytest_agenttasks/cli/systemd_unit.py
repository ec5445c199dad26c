"""A systemd user unit for `agenttasks watch`, quoted as systemd reads it (systemd.syntax(7), systemd.service(5))."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from ..outcome import SetupError
from ..report.printable import printable

STOPPING = 180
"""Seconds that a run gets to end its agents and to store what they did, before everything is killed."""


def unit(cwd: Path, arguments: Sequence[str], path: str, queue: Path) -> str:
    """The unit's text, with how to install it as comments. `arguments` are those of `agenttasks watch`, `path` is PATH.

    Raises SetupError for a folder that cannot be named in a unit.
    """
    if re.search(r"[\x00-\x1f\x7f]|^\s|\s$|\\$", str(cwd)):
        raise SetupError(f"{str(cwd)!r}: a unit cannot name this folder; rename it")
    words = [sys.executable, "-P", "-m", "pytest_agenttasks.cli", "watch", *arguments]
    # The colon: no variables are put into the words.
    command = ":" + " ".join(_quoted(word) for word in words)
    about = re.sub(r"[\x00-\x1f\\]", " ", f"agenttasks watch: {queue}")
    name = f"agenttasks-{re.sub(r'[^A-Za-z0-9_.-]+', '-', cwd.name) or 'queue'}.service"
    return f"""\
# agenttasks watch --unit > ~/.config/systemd/user/{name}
# systemctl --user daemon-reload
# systemctl --user enable --now {name}
# loginctl enable-linger      # so that it goes on when you log out
# journalctl --user -u {name} -f
# Variables such as logins and webhooks: systemctl --user edit {name}

[Unit]
Description={_specifiers(printable(about))}

[Service]
Type=exec
WorkingDirectory={_specifiers(str(cwd))}
Environment={_quoted(f"PATH={path}")}
Environment=PYTHONUNBUFFERED=1
ExecStart={command}
# It has the run end its agents; what is left after that is killed.
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec={STOPPING}
# 2: stopped by a signal, or past --agent-until. Anything else is a defect, or a set-up that it cannot begin with.
SuccessExitStatus=2
Restart=on-failure
RestartSec=60

[Install]
WantedBy=default.target
"""


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _quoted(word: str) -> str:
    """In double quotes, with C escapes for whatever is not plain ASCII."""
    escaped = "".join(
        chr(byte) if 0x20 <= byte < 0x7F and byte not in b'"\\' else f"\\x{byte:02x}"
        for byte in os.fsencode(word)
    )
    return f'"{_specifiers(escaped)}"'
