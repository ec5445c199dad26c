"""What the documents say is there is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_agenttasks.cli import VERBS
from pytest_agenttasks.outcome import Kind
from pytest_agenttasks.plugin import OPTIONS
from pytest_agenttasks.settings.schema import schema

TOP = Path(__file__).parent.parent
DOCUMENTS = [TOP / "README.md", TOP / "CLAUDE.md", *sorted((TOP / "docs").glob("*.md"))]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_verbs_and_options_that_are_named_exist(document: Path) -> None:
    text = document.read_text()
    named = {
        first or second
        for first, second in re.findall(r"(?:^ {4}agenttasks ([a-z]+)|`agenttasks ([a-z]+))", text, re.M)
    }
    assert named <= set(VERBS), named - set(VERBS)
    options = set(re.findall(r"--agent-[a-z-]+", text))
    assert options <= {flag for flag, *_ in OPTIONS} | {"--agent-tasks"}, options


def test_every_setting_is_documented() -> None:
    text = (TOP / "docs/settings.md").read_text()
    for name, definition in schema()["$defs"].items():
        for key in definition["properties"]:
            assert re.search(rf"[`.]{key}[`.\[]|`{key}`", text), f"{name}.{key}"


def test_every_outcome_is_documented() -> None:
    text = (TOP / "docs/outcomes.md").read_text()
    for kind in Kind:
        assert f"`{kind.value}`" in text, kind


def test_every_module_of_the_map_exists() -> None:
    text = (TOP / "CLAUDE.md").read_text()
    for name in re.findall(r"`([a-z_]+(?:\.py|/))`", text.split("## Map")[1].split("## Architectural")[0]):
        places = [TOP / name, TOP / "pytest_agenttasks" / name, TOP / "tests" / name]
        assert any(place.exists() for place in places), name
