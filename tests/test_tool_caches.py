from __future__ import annotations

from pathlib import Path

import pytest

from pytest_agenttasks.processes.tool_caches import HOMES, redirected


@pytest.fixture
def caches(tmp_path: Path) -> Path:
    (tmp_path / "caches").mkdir()
    return tmp_path / "caches"


@pytest.fixture
def homes(tmp_path: Path) -> Path:
    (tmp_path / "homes").mkdir()
    return tmp_path / "homes"


def test_tools_are_led_to_the_workspaces_caches(caches: Path, homes: Path) -> None:
    found = redirected(caches, homes, None, {}, {})
    assert found["npm_config_cache"] == str(caches / "npm")
    assert found["MAVEN_OPTS"] == f"-Dmaven.repo.local={caches}/maven"
    assert all(str(homes if name in HOMES else caches) in value for name, value in found.items())


def test_what_the_settings_say_stays_and_what_the_users_shell_says_does_not(
    caches: Path, homes: Path, tmp_path: Path
) -> None:
    callers = {"PIP_CACHE_DIR": "/home/u/pip", "GOCACHE": "/home/u/go", "MAVEN_OPTS": "-Xmx1g"}
    found = redirected(
        caches, homes, None, {**callers, "GOCACHE": "/elsewhere", "UV_CACHE_DIR": "/uv"}, callers
    )
    assert "GOCACHE" not in found
    assert "UV_CACHE_DIR" not in found
    assert found["PIP_CACHE_DIR"] == str(caches / "pip")
    assert found["MAVEN_OPTS"] == f"-Xmx1g -Dmaven.repo.local={caches}/maven"
    own = {"MAVEN_OPTS": "-Dmaven.repo.local=/m2"}
    (tmp_path / "more").mkdir()
    assert "MAVEN_OPTS" not in redirected(caches, tmp_path / "more", None, own, own)


def test_a_folder_of_caches_and_settings_keeps_its_settings(caches: Path, homes: Path, home: Path) -> None:
    for name in ("registry", "bin"):
        (home / ".cargo" / name).mkdir(parents=True)
    (home / ".cargo/credentials.toml").write_text("HUSH")
    (home / ".cargo/config.toml").write_text("[source]\n")
    found = Path(redirected(caches, homes, home, {}, {})["CARGO_HOME"])
    assert sorted(path.name for path in found.iterdir()) == ["bin", "config.toml", "git", "registry"]
    assert (found / "config.toml").read_text() == "[source]\n"
    assert (found / "registry").resolve() == caches / "cargo-registry"
    (found / "registry/x").touch()
    assert list((home / ".cargo/registry").iterdir()) == []


def test_a_link_that_a_program_put_into_the_caches_is_not_followed(
    caches: Path, homes: Path, home: Path
) -> None:
    (caches / "cargo-registry").symlink_to(home / "made")
    redirected(caches, homes, home, {}, {})
    assert not (home / "made").exists()


def test_a_tools_folder_elsewhere_is_followed(caches: Path, homes: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/config.toml").touch()
    callers = {"CARGO_HOME": str(tmp_path / "elsewhere")}
    found = redirected(caches, homes, None, callers, callers)
    assert (Path(found["CARGO_HOME"]) / "config.toml").readlink() == tmp_path / "elsewhere/config.toml"
