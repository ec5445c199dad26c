from __future__ import annotations

import pytest

from pytest_agenttasks.processes.environment import looks_secret, scrub


def words(text: str) -> list[str]:
    return text.split()


SECRETS = words(
    """
    ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN CLAUDE_CODE_OAUTH_TOKEN OPENAI_API_KEY GITHUB_TOKEN GH_TOKEN
    NPM_TOKEN NODE_AUTH_TOKEN AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SESSION_TOKEN AWS_PROFILE
    GOOGLE_APPLICATION_CREDENTIALS AZURE_CLIENT_SECRET KUBECONFIG STRIPE_KEY RAILS_MASTER_KEY
    DJANGO_SECRET_KEY SECRET_KEY_BASE PGPASSWORD PGPASSFILE MYSQL_PWD DB_PASS SMTP_PASSWORD SSH_AUTH_SOCK
    SSH_PRIVATE_KEY SIGNING_KEY_ID SENTRY_DSN DATABASE_URL AZURE_DEVOPS_PAT SESSION_COOKIE VAULT_TOKEN
    CI_JOB_JWT SLACK_WEBHOOK_URL TWINE_PASSWORD UV_PUBLISH_TOKEN CARGO_REGISTRY_TOKEN HF_TOKEN
    DOCKER_AUTH_CONFIG githubToken apiKey npm_config__auth npm_config__authToken
    npm_config_//registry.example.org/:_authToken ACTIONS_RUNTIME_TOKEN
    """
)

HARMLESS = words(
    """
    PATH HOME USER SHELL TERM TERM_SESSION_ID COLORTERM LANG LC_ALL TZ EDITOR PAGER DISPLAY XDG_RUNTIME_DIR
    XDG_SESSION_ID KEYBOARD KEYBOARD_LAYOUT KEYTIMEOUT LESSKEY MONKEY_PATCH PATTERN MATCHPATH COMPASS_HOME
    BYPASS_CACHE AUTHOR AUTHORITY XAUTHORITY SSH_CONNECTION SSH_CLIENT SSH_TTY GPG_TTY AWS_REGION
    AWS_DEFAULT_REGION AWS_PAGER VAULT_ADDR ANTHROPIC_BASE_URL ANTHROPIC_MODEL npm_config_cache
    npm_config_registry npm_config_user_agent NODE_ENV NODE_OPTIONS GOPATH GOFLAGS CARGO_HOME RUSTUP_HOME
    JAVA_HOME PYTHONUTF8 PYTHONHASHSEED PIP_INDEX_URL UV_INDEX_URL CI CC CFLAGS MAKE TOKENIZERS_PARALLELISM
    REDIS_URL DEBUG PORT
    """
)


@pytest.mark.parametrize("name", SECRETS)
def test_names_that_look_like_secrets(name: str) -> None:
    assert looks_secret(name, "value")


@pytest.mark.parametrize("name", HARMLESS)
def test_names_that_do_not(name: str) -> None:
    assert not looks_secret(name, "value")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://:pw@cache.example.org:6379/0"),
        ("MONGO_URI", "mongodb+srv://app:pw@db.example.org/app"),
        ("PIP_INDEX_URL", "https://user:pw@packages.example.org/simple"),
        ("STORAGE", "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=abc=="),
        ("CONNECTION", "Server=db;User Id=app;Password=pw;"),
        ("DEPLOY", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blb"),
        ("GITHUB", "ghp_0123456789abcdef0123456789abcdef0123"),
        ("CLAUDE", "sk-ant-api03-xyz"),
    ],
)
def test_values_that_give_a_secret_away(name: str, value: str) -> None:
    assert looks_secret(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REDIS_URL", "redis://localhost:6379/0"),
        ("API_URL", "https://example.org:8443/a@b"),
        ("HTTPS_PROXY", "http://user:pw@proxy.example.org:3128"),
        ("http_proxy", "http://user:pw@proxy.example.org:3128"),
        ("MAX_THINKING_TOKENS", "8000"),
        ("NPM_TOKEN", ""),
        ("_", "/usr/bin/env"),
        ("LS_COLORS", "rs=0:di=01;34:*.key=00;33"),
    ],
)
def test_values_and_names_that_are_no_secret(name: str, value: str) -> None:
    assert not looks_secret(name, value)


RUNNERS = words(
    """
    PYTEST_CURRENT_TEST PYTEST_ADDOPTS PYTEST_XDIST_WORKER _PYTEST_RAISE COV_CORE_SOURCE
    COVERAGE_PROCESS_START GIT_DIR GIT_INDEX_FILE GIT_AUTHOR_NAME GIT_CONFIG_COUNT TOX_ENV_NAME
    NOX_CURRENT_SESSION VIRTUAL_ENV PYTHONPATH PYTHONHOME PYTHONSTARTUP PYTHONWARNINGS PYTHONSAFEPATH
    CLAUDECODE AGENTTASKS_TASK COMPOSE_PROJECT_NAME PWD OLDPWD INIT_CWD npm_lifecycle_event npm_package_json
    npm_command npm_config_local_prefix NODE_CHANNEL_FD MAKEFLAGS MAKELEVEL
    """
)


def test_what_the_runner_was_started_with_stays_with_the_runner() -> None:
    source = dict.fromkeys(RUNNERS, "value")
    assert scrub(source, (), {}).variables == {}
    assert scrub(source, (), {}).withheld == ()


def test_names_and_patterns_pass_what_would_be_withheld() -> None:
    source = {
        "NPM_TOKEN": "t",
        "ANTHROPIC_API_KEY": "k",
        "ANTHROPIC_AUTH_TOKEN": "a",
        "PYTHONPATH": "lib",
        "LANG": "C",
    }
    assert scrub(source, (), {}).withheld == ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "NPM_TOKEN")
    found = scrub(source, ["ANTHROPIC_*", "PYTHONPATH"], {})
    assert found.variables == {
        "ANTHROPIC_API_KEY": "k",
        "ANTHROPIC_AUTH_TOKEN": "a",
        "PYTHONPATH": "lib",
        "LANG": "C",
    }
    assert found.withheld == ("NPM_TOKEN",)


def test_a_value_of_the_settings_wins_and_is_not_called_withheld() -> None:
    found = scrub({"DATABASE_URL": "prod", "LANG": "C"}, (), {"DATABASE_URL": "sqlite://", "PYTHONPATH": "x"})
    assert found.variables == {"LANG": "C", "DATABASE_URL": "sqlite://", "PYTHONPATH": "x"}
    assert found.withheld == ()
