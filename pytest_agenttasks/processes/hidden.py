"""What a sandboxed program must not see although the user can: logins in the home, and sockets that lead outside."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

SECRETS: Mapping[str, str] = {
    ".ssh": "private keys",
    ".gnupg": "private keys, and the agent's socket",
    ".aws": "cloud login",
    ".azure": "cloud login",
    ".config/gcloud": "cloud login",
    ".config/doctl": "cloud login",
    ".oci": "cloud login",
    ".kube": "cluster login",
    ".docker": "registry logins, and a socket that is root on this machine",
    ".config/containers/auth.json": "registry logins",
    ".config/gh": "forge login: it can push",
    ".config/glab-cli": "forge login: it can push",
    ".config/hub": "forge login: it can push",
    ".git-credentials": "forge passwords",
    ".config/git/credentials": "forge passwords",
    ".netrc": "passwords",
    ".authinfo": "passwords",
    ".authinfo.gpg": "passwords",
    ".pgpass": "database passwords",
    ".my.cnf": "database passwords",
    ".mylogin.cnf": "database passwords",
    ".pypirc": "tokens that publish",
    ".cargo/credentials": "tokens that publish",
    ".cargo/credentials.toml": "tokens that publish",
    ".gem/credentials": "tokens that publish",
    ".config/rclone": "storage logins",
    ".terraform.d/credentials.tfrc.json": "cloud login",
    ".vault-token": "a key to all other secrets",
    ".password-store": "passwords",
    ".config/op": "password manager",
    ".config/Bitwarden CLI": "password manager",
    ".local/share/keyrings": "passwords",
    ".local/share/kwalletd": "passwords",
    ".config/google-chrome": "browser: sessions and passwords",
    ".config/chromium": "browser: sessions and passwords",
    ".mozilla": "browser: sessions and passwords",
    ".Xauthority": "the screen and the keyboard",
    ".bash_history": "what was typed, passwords among it",
    ".zsh_history": "what was typed, passwords among it",
}
"""Path in the home → what lies there. They look empty."""

REDACTED: tuple[str, ...] = (".npmrc", ".yarnrc.yml", ".pip/pip.conf", ".config/pip/pip.conf")
"""Files in the home that tools need for the name of their registry; the lines with logins are left out."""

SYSTEM: Mapping[str, str] = {
    "/run/docker.sock": "root on this machine for whoever can write to it",
    "/run/podman": "starts programs outside",
    "/run/containerd": "root on this machine",
    "/run/crio": "root on this machine",
    "/run/libvirt": "starts programs outside",
    "/run/incus": "root on this machine",
    "/var/lib/incus/unix.socket": "root on this machine",
    "/var/lib/lxd/unix.socket": "root on this machine",
    "/var/snap/lxd/common/lxd/unix.socket": "root on this machine",
    "/run/snapd.socket": "installs programs",
    "/run/dbus": "asks services to start programs outside",
    "/run/systemd/private": "starts programs outside",
    "/run/user": "session bus, key and password agents, rootless containers",
    "/etc/shadow": "password hashes; readable to root",
    "/etc/gshadow": "password hashes; readable to root",
    "/etc/ssh": "the machine's private keys; readable to root",
}

_LOGIN_LINE = re.compile(rb"(?i)_auth|_password|token|secret|password|://[^/\s:@]*:[^/\s@]+@")


def hidden(home: Path | None, covers: Path, spared: Iterable[Path]) -> Iterator[tuple[Path, Path]]:
    """What to show in the place of each secret that exists: (real path, file or folder to show).

    `covers` is a folder of the runner's for what is shown; nothing is hidden that is in `spared` or holds one
    of them.
    """
    shown = tuple(spared)
    covers.mkdir(parents=True, exist_ok=True)
    nothing, no_folder = covers / "empty", covers / "empty.d"
    nothing.touch()
    no_folder.mkdir(exist_ok=True)
    names = [Path(name) for name in SYSTEM]
    names += [home / name for name in SECRETS] if home is not None else []
    done: set[Path] = set()
    for path in names:
        real = Path(os.path.realpath(path))
        if real in done or any(one == real or real in one.parents for one in shown):
            continue
        mode = _mode(real)
        if mode is not None:
            done.add(real)
            yield real, no_folder if stat.S_ISDIR(mode) else nothing
    for name in REDACTED if home is not None else ():
        real = Path(os.path.realpath(home / name)) if home is not None else Path(name)
        if (told := _without_logins(real)) is not None and real not in shown:
            copy = covers / name.replace("/", "+")
            copy.write_bytes(told)
            yield real, copy


def _mode(path: Path) -> int | None:
    try:
        return path.lstat().st_mode
    except OSError:
        return None


def _without_logins(path: Path) -> bytes | None:
    """The file's other lines; None where it has no login, or is not there."""
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError:
        return None
    kept = [line for line in lines if not _LOGIN_LINE.search(line)]
    return b"".join(kept) if len(kept) < len(lines) else None
