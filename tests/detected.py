"""Projects for the detection of gates, as files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from pytest_agenttasks.cli.init_files import example
from pytest_agenttasks.cli.recipes import Detected, Machine, detect
from pytest_agenttasks.settings.loading import load

Found = Callable[..., Detected]
LOCKED = {"package-lock.json": "{}"}
TEST = {"tests/test_a.py": "import pytest\n\ndef test_a():\n    pass\n"}


def finder(tmp_path: Path) -> Found:
    """What is detected in `tmp_path` with these files, on a machine that has everything unless told otherwise.

    That the settings written from it say the same is checked on the way.
    """

    def found(files: dict[str, str], lacks: tuple[str, ...] = ()) -> Detected:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

        def succeeds(*command: str) -> bool:
            return not any(word in part for word in lacks for part in command)

        detected = detect(tmp_path, Machine(has=lambda program: program not in lacks, succeeds=succeeds))
        settings = tmp_path / "written.yaml"
        settings.write_text(example(detected))
        read = load(settings)
        assert [(g.name, g.run, g.cwd, tuple(g.env.items())) for g in read.gates] == [
            (g.name, g.run, g.cwd, g.env) for g in detected.gates
        ]
        assert (read.workspace.setup, read.workspace.setup_inputs) == (detected.setup, detected.setup_inputs)
        assert read.workspace.cache == detected.cache
        settings.unlink()
        return detected

    return found


def gates(detected: Detected) -> dict[str, str]:
    return {gate.name: gate.run for gate in detected.gates}


def package(scripts: dict[str, str] | None = None, **more: object) -> str:
    return json.dumps({"scripts": scripts or {}, **more})
