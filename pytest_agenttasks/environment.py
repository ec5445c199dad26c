"""What agents and gates inherit: the user's environment without secrets and without the runner's own traces."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_SECRET = re.compile(
    r"(?i)(^|_)(TOKEN|TOKENS|SECRET|SECRETS|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|CREDENTIALS|COOKIE|PAT|DSN|APIKEY|"
    r"(API|ACCESS|AUTH|PRIVATE|SECRET|SIGNING|ENCRYPTION|MASTER|SSH|DEPLOY|SERVICE|LICENSE)_?KEY)(_|$)|KEY$|"
    r"^(AWS|AZURE|GCP|GOOGLE_APPLICATION|ANTHROPIC|OPENAI|CLAUDE|DATABASE_URL|PGPASS|SSH_AUTH_SOCK|GPG|VAULT)"
)
_RUNNERS_OWN = re.compile(
    r"^(PYTEST_|COV_|COVERAGE_|GIT_|AGENTTASKS_|TOX_|VIRTUAL_ENV$|PYTHONPATH$|PYTHONHOME$|PYTHONSTARTUP$|"
    r"PYTHONWARNINGS$|PYTHONSAFEPATH$|CLAUDECODE$|COMPOSE_PROJECT_NAME$|OLDPWD$|PWD$)"
)


@dataclass(frozen=True, slots=True)
class Environment:
    """`variables` to run with, and the names of those that were withheld for looking like secrets."""

    variables: Mapping[str, str]
    withheld: tuple[str, ...]


def scrub(source: Mapping[str, str], passed: Iterable[str], extra: Mapping[str, str]) -> Environment:
    """`source` without secrets (but those that `passed` names; `*` matches) and runner variables, plus `extra`."""
    patterns = tuple(passed)
    kept: dict[str, str] = {}
    withheld = []
    for name, value in source.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            kept[name] = value
        elif _RUNNERS_OWN.search(name):
            continue
        elif _SECRET.search(name):
            withheld.append(name)
        else:
            kept[name] = value
    return Environment({**kept, **extra}, tuple(sorted(withheld)))
