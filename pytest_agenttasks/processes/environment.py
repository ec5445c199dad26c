"""What agents and gates inherit: the user's environment without secrets and without the runner's own traces."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_SECRET_WORD = re.compile(
    r"TOKENS?|SECRETS?|PASSWORDS?|PASSWD|PASSPHRASE|CREDENTIALS?|COOKIES?|PAT|DSN|JWT|BEARER|WEBHOOK|APIKEYS?"
    r"|.+(PASSWORD|PASSWD|TOKEN|SECRET|APIKEY|ACCESSKEY|PRIVATEKEY|SECRETKEY)"  # written in one (PGPASSWORD)
)
_SECRET_LAST_WORD = re.compile(r"KEYS?|PASS|PWD|AUTH")
_KIND_OF_KEY = re.compile(
    r"API|ACCESS|AUTH|PRIVATE|SECRET|SIGNING|ENCRYPTION|MASTER|SSH|DEPLOY|SERVICE|ACCOUNT|LICENSE"
)
_LEADS_TO_A_LOGIN = re.compile(
    r"SSH_AUTH_SOCK|GPG_AGENT_INFO|AWS_PROFILE|KUBECONFIG|NETRC|PGPASSFILE|DOCKER_AUTH_CONFIG|DATABASE_URL"
)
_SECRET_VALUE = re.compile(
    r"://[^/\s:@]*:[^/\s@]+@"  # a URL with a password
    r"|(?i:\b(?:password|pwd|accountkey|sharedaccesskey)=[^;\s])"  # a connection string
    r"|-----BEGIN [A-Z ]*PRIVATE KEY"
    r"|\b(?:gh[pousr]_|github_pat_|glpat-|sk-ant-|sk-proj-|sk_live_|xox[abprs]-|npm_[A-Za-z0-9]{30}|AKIA[A-Z0-9]{12})"
)
_PROXY = re.compile(r"(?i)(^|_)proxy$")
"""Without it nothing that needs the network works, and its password reaches the proxy only."""

_RUNNERS_OWN = re.compile(
    r"^_?PYTEST_|^(COV|COVERAGE|GIT|AGENTTASKS|TOX|NOX)_"
    r"|^(VIRTUAL_ENV|VIRTUAL_ENV_PROMPT|__PYVENV_LAUNCHER__|COMPOSE_PROJECT_NAME|CLAUDECODE|OLDPWD|PWD)$"
    r"|^PYTHON(PATH|HOME|STARTUP|WARNINGS|SAFEPATH|INSPECT)$"
    r"|^npm_(package|lifecycle)_|^npm_(command|execpath|node_execpath|config_local_prefix)$|^(INIT|PROJECT)_CWD$"
    r"|^NODE_(CHANNEL_FD|TEST_CONTEXT)$|^M(AKE)?FLAGS$|^MAKE(LEVEL|OVERRIDES)$"
)
"""Set by what started the runner (pytest, git hook, npm or make script, virtual environment) about the user's checkout."""


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
        elif looks_secret(name, value):
            withheld.append(name)
        else:
            kept[name] = value
    return Environment({**kept, **extra}, tuple(sorted(set(withheld) - extra.keys())))


@lru_cache(1000)
def looks_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret, or opens a login, by its name or its value; an empty one does not."""
    if not value:
        return False
    words = [word.upper() for word in _WORD.findall(name)]
    if not words:
        return False
    if words[-1] == "TOKENS" and value.isdigit():  # a limit (MAX_THINKING_TOKENS)
        return False
    return (
        _LEADS_TO_A_LOGIN.fullmatch(name) is not None
        or any(map(_SECRET_WORD.fullmatch, words))
        or _SECRET_LAST_WORD.fullmatch(words[-1]) is not None
        or any(key == "KEY" and _KIND_OF_KEY.fullmatch(kind) for kind, key in pairwise(words))
        or (_SECRET_VALUE.search(value) is not None and not _PROXY.search(name))
    )
