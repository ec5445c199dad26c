from __future__ import annotations

from pathlib import Path

from pytest_agenttasks.processes.tool_caches import redirected


def test_tools_are_led_to_the_workspaces_caches(tmp_path: Path) -> None:
    found = redirected(tmp_path / "caches", None, {}, {})
    assert found["npm_config_cache"] == str(tmp_path / "caches/npm")
    assert found["MAVEN_OPTS"] == f"-Dmaven.repo.local={tmp_path}/caches/maven"
    assert all(str(tmp_path / "caches") in value for value in found.values())


def test_what_the_settings_say_stays_and_what_the_users_shell_says_does_not(tmp_path: Path) -> None:
    callers = {"PIP_CACHE_DIR": "/home/u/pip", "GOCACHE": "/home/u/go", "MAVEN_OPTS": "-Xmx1g"}
    found = redirected(tmp_path, None, {**callers, "GOCACHE": "/elsewhere", "UV_CACHE_DIR": "/uv"}, callers)
    assert "GOCACHE" not in found
    assert "UV_CACHE_DIR" not in found
    assert found["PIP_CACHE_DIR"] == str(tmp_path / "pip")
    assert found["MAVEN_OPTS"] == f"-Xmx1g -Dmaven.repo.local={tmp_path}/maven"
    own = {"MAVEN_OPTS": "-Dmaven.repo.local=/m2"}
    assert "MAVEN_OPTS" not in redirected(tmp_path, None, own, own)


def test_a_folder_of_caches_and_settings_keeps_its_settings(tmp_path: Path) -> None:
    home, caches = tmp_path / "home", tmp_path / "caches"
    (home / ".cargo/registry").mkdir(parents=True)
    (home / ".cargo/bin").mkdir()
    (home / ".cargo/credentials.toml").write_text("HUSH")
    (home / ".cargo/config.toml").write_text("[source]\n")
    for _ in range(2):
        found = Path(redirected(caches, home, {}, {})["CARGO_HOME"])
        assert sorted(path.name for path in found.iterdir()) == ["bin", "config.toml"]
        assert (found / "config.toml").read_text() == "[source]\n"
    (found / "config.toml").unlink()
    (found / "config.toml").write_text("an agent's")
    (found / "bin").unlink()
    (found / "bin").mkdir()
    (found / "registry").mkdir()
    assert Path(redirected(caches, home, {}, {})["CARGO_HOME"]) == found
    assert (found / "config.toml").read_text() == "[source]\n"
    assert (found / "bin").is_symlink()
    assert (found / "registry").is_dir()


def test_a_tools_folder_elsewhere_is_followed(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/config.toml").touch()
    callers = {"CARGO_HOME": str(tmp_path / "elsewhere")}
    found = redirected(tmp_path / "caches", None, callers, callers)
    assert (Path(found["CARGO_HOME"]) / "config.toml").readlink() == tmp_path / "elsewhere/config.toml"
