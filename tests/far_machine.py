"""Another machine, for tests: an sshd of its own on loopback, with its own keys, its own home, and nothing shared on purpose."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.living import until

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


@dataclass(frozen=True)
class FarMachine:
    """`home` is the other side's HOME, `config` an ssh configuration that knows the host `far`; `server` the sshd."""

    home: Path
    config: Path
    server: subprocess.Popen[bytes]
    port: int

    def tx(self, python: str = sys.executable, more: str = "") -> str:
        """What to type behind `--tx`."""
        return f"ssh=far//ssh_config={self.config}//python={python}{more}"

    @property
    def clone(self) -> Path:
        """The clone that a run has made there."""
        (found,) = (self.home / ".local/state/agenttasks/elsewhere").glob("*/project")
        return found

    def processes(self) -> list[psutil.Process]:
        """Everything that runs there now, by its HOME, wherever it has detached itself to."""
        return [process for process in psutil.process_iter() if self._is_home_of(process)]

    def _is_home_of(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("HOME") == str(self.home)
        except psutil.Error:
            return False

    def attempts(self) -> list[str]:
        """What is stored there and not here yet."""
        git = ["git", f"--git-dir={self.clone}/.git/agenttasks/shadow.git"]
        listed = subprocess.run(
            [*git, "for-each-ref", "--format=%(refname)", "refs/attempts/"],
            capture_output=True,
            text=True,
            check=True,
        )
        return [line.removeprefix("refs/attempts/") for line in listed.stdout.splitlines()]

    def cut(self) -> None:
        """End all connections, as a network that fails does; new ones can be made."""
        for process in self.sessions():
            process.kill()

    def sessions(self) -> list[psutil.Process]:
        """The sshd's own processes, which carry connections."""
        return [process for process in psutil.process_iter(["name"]) if self._carries(process)]

    def _carries(self, process: psutil.Process) -> bool:
        try:
            return process.name().startswith("sshd") and any(
                at.laddr.port == self.port
                for at in process.net_connections("tcp")
                if at.status == "ESTABLISHED"
            )
        except psutil.Error:
            return False

    def switch_off(self) -> None:
        """No connection any more, and no new one."""
        self.server.terminate()
        self.server.wait()
        self.cut()


@pytest.fixture
def far(tmp_path: Path) -> Iterator[FarMachine]:
    if SSHD is None:
        if os.environ.get("CI"):
            pytest.fail("no sshd: install openssh-server")
        pytest.skip("no sshd on this machine (openssh-server)")
    folder = tmp_path / "far"
    home = folder / "home"
    home.mkdir(parents=True)
    for name in ("host", "user"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd's own condition, where root starts it
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = folder / "sshd_config"
    settings.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/user.pub\n"
        f"StrictModes no\nUsePAM no\nPidFile none\nPasswordAuthentication no\nMaxStartups 100\n"
        f'SetEnv HOME={home} PATH="{os.environ["PATH"]}"\n'
    )
    config = folder / "config"
    config.write_text(
        f"Host far\n  HostName 127.0.0.1\n  Port {port}\n  User {getpass.getuser()}\n  IdentityFile {folder}/user\n"
        "  IdentitiesOnly yes\n  StrictHostKeyChecking no\n  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
    )
    log = (folder / "log").open("wb")
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", settings], stderr=log, start_new_session=True)
    machine = FarMachine(home, config, server, port)
    try:
        until(lambda: b"listening" in (folder / "log").read_bytes() or server.poll() is not None)
        assert server.poll() is None, (folder / "log").read_text()
        yield machine
    finally:
        machine.switch_off()
        log.close()
