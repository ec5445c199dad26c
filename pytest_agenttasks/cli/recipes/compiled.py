"""Cargo.toml and go.mod."""

from __future__ import annotations

from pathlib import Path

from .model import Gate, Machine, Recipe, toml_of


def cargo(folder: Path, machine: Machine) -> Recipe | None:
    """clippy, where it is installed, and the tests; the build folder is kept from task to task."""
    manifest = toml_of(folder / "Cargo.toml")
    if manifest is None:
        return None
    workspace = "workspace" in manifest
    options = (" --workspace" if workspace else "") + (
        " --locked" if (folder / "Cargo.lock").is_file() else ""
    )
    gates = []
    if machine.succeeds("cargo", "clippy", "--version"):
        gates.append(Gate("lint", f"cargo clippy --all-targets{options}"))
    gates.append(Gate("tests", f"cargo test{options}"))
    return Recipe(
        ecosystem="cargo",
        language="rust",
        gates=tuple(gates),
        cache=("target",),
        notes=machine.missing("cargo"),
        covers_members=workspace,
    )


def go(folder: Path, machine: Machine) -> Recipe | None:
    """vet and the tests of one module."""
    if not (folder / "go.mod").is_file():
        return None
    return Recipe(
        ecosystem="go",
        language="go",
        gates=(Gate("lint", "go vet ./..."), Gate("tests", "go test ./...")),
        notes=machine.missing("go"),
    )
