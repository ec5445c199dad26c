"""What was typed, told apart from what the project's ini file and environment add to every pytest run.

A project's addopts are about its tests. Here only those count that decide how a run looks; whatever would choose,
order, repeat, measure, cut short or block tasks counts when it was typed.
"""

from __future__ import annotations

import argparse
import os

import pytest

APPEARANCE = frozenset(
    {
        "assertmode", "basetemp", "capture", "code_highlight", "color", "confcutdir", "disable_plugin_autoload",
        "disable_warnings", "durations", "durations_min", "fold_skipped", "force_short_summary", "fulltrace",
        "htmlpath", "importmode", "inifilename", "junitprefix", "logger_disable", "no_header", "no_summary",
        "noconftest", "override_ini", "plugins", "reportchars", "rootdir", "self_contained_html", "showcapture",
        "showlocals", "tbstyle", "traceconfig", "verbose", "xfail_tb", "xmlpath",
    }
)  # fmt: skip
"""Options of pytest and pytest-html that show a run, or that pytest has acted on before any plugin is asked."""


def arguments(config: pytest.Config) -> list[str]:
    return [os.fspath(argument) for argument in config.invocation_params.args]


def options(config: pytest.Config, parser: pytest.Parser) -> argparse.Namespace:
    """The options as if the project had no addopts."""
    found: argparse.Namespace = parser.parse_known_args(arguments(config))
    return found


def forget_addopts(
    namespace: argparse.Namespace, typed: argparse.Namespace, but: frozenset[str] = frozenset()
) -> None:
    """Set every option of `namespace` that steers a run to what was typed, `but` for those."""
    for name, value in vars(typed).items():
        appearance = name in APPEARANCE or name.startswith(("agent_", "log_")) or name == "agent"
        if not appearance and name not in but:
            setattr(namespace, name, value)


def forget_unknown(config: pytest.Config, parser: pytest.Parser, found: list[str]) -> None:
    """Take options out of `found`, the command line with addopts, that only a conftest.py that was not read knows."""
    unknown = set(parser.parse_known_and_unknown_args(found)[1]).difference(arguments(config))
    found[:] = [argument for argument in found if argument not in unknown]
