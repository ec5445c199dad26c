"""Which files decide what the gates do, and which are tests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_agenttasks.tasks.guarded_files import (
    COMPILED,
    CONFIGURATION,
    FILES,
    FOLDERS,
    SHADOW,
    USUAL_TEST_FOLDERS,
    USUAL_TEST_NAMES,
    USUAL_TESTS,
    guarded,
    usual_test,
)
from pytest_agenttasks.tasks.patterns import PatternSet, fold

CONFIGURATION_FILES = [
    *(
        "conftest.py",
        "tests/unit/conftest.py",
        "pyproject.toml",
        "pytest.ini",
        ".pytest.ini",
        "tox.ini",
        "setup.cfg",
    ),
    *(
        "setup.py",
        ".coveragerc",
        "noxfile.py",
        "sitecustomize.py",
        "src/usercustomize.py",
        "src/x.pth",
        "ruff.toml",
    ),
    *(
        "mypy.ini",
        ".flake8",
        ".pylintrc",
        "requirements-dev.txt",
        "uv.lock",
        "src/evil.egg-info/entry_points.txt",
    ),
    *(
        "package.json",
        "packages/a/package.json",
        "package-lock.json",
        "tsconfig.build.json",
        "jest.config.js",
    ),
    *(
        "vitest.config.mts",
        "vitest.integration.config.ts",
        "webpack.prod.config.js",
        "babel.config.json",
        ".babelrc",
    ),
    *(
        "eslint.config.mjs",
        ".eslintrc.json",
        ".prettierrc",
        ".mocharc.yml",
        "karma.conf.js",
        "playwright.config.ts",
    ),
    *(
        "cypress.config.ts",
        "jest.setup.ts",
        "vitest.workspace.ts",
        ".npmrc",
        ".yarnrc.yml",
        "pnpm-workspace.yaml",
    ),
    *("src/node_modules/jest/index.js", "node_modules", ".yarn/releases/yarn.cjs", "biome.json", "deno.json"),
    *(
        "bunfig.toml",
        "Makefile",
        "sub/GNUmakefile",
        "rules.mk",
        "CMakeLists.txt",
        "cmake/x.cmake",
        "justfile",
    ),
    *(
        "Taskfile.yml",
        "Cargo.toml",
        "build.rs",
        ".cargo/config.toml",
        "rust-toolchain",
        "rust-toolchain.toml",
    ),
    *(
        "go.mod",
        "go.sum",
        "go.work",
        ".golangci.yml",
        "pom.xml",
        "build.gradle",
        "app/build.gradle.kts",
        "mvnw",
    ),
    *(
        "settings.gradle",
        "gradle/wrapper/gradle-wrapper.jar",
        "gradle/libs.versions.toml",
        "Gemfile",
        "Rakefile",
    ),
    *(
        ".rspec",
        "phpunit.xml",
        "composer.json",
        "compose.yaml",
        "deploy/docker-compose.override.yml",
        "phpstan.neon",
        "App.csproj",
        "Directory.Build.props",
        "mix.exs",
    ),
    *(
        ".github/workflows/ci.yml",
        ".gitlab-ci.yml",
        ".gitlab/ci/test.yml",
        ".circleci/config.yml",
        "Jenkinsfile",
    ),
    *("azure-pipelines.yml", ".pre-commit-config.yaml", ".husky/pre-commit", ".env", ".env.test", ".envrc"),
    *(
        ".config/dotnet-tools.json",
        ".vscode/settings.json",
        ".tool-versions",
        "src/CLAUDE.md",
        "AGENTS.md",
        ".mcp.json",
    ),
]


@pytest.mark.parametrize("path", CONFIGURATION_FILES)
@pytest.mark.parametrize("added", [True, False])
def test_configuration_is_guarded_new_or_not(path: str, added: bool) -> None:
    assert guarded(fold(path), added) == CONFIGURATION


@pytest.mark.parametrize("path", ["Conftest.py", "CONFTEST.PY", "MAKEFILE", ".GitHub/x", "NODE_MODULES/x"])
def test_a_twin_in_other_case_is_guarded_too(path: str) -> None:
    assert guarded(fold(path), True) == CONFIGURATION


@pytest.mark.parametrize(
    "path",
    [
        *(
            "src/app.py",
            "src/config.py",
            "src/app/app.config.ts",
            "src/config/database.config.ts",
            "conf/x.conf",
        ),
        *(
            "src/package.ts",
            "docs/Makefile.md",
            ".env.example",
            "src/build/x.ts",
            "src/workspace/a.ts",
            "Dockerfile",
        ),
        *(
            "src/make.py",
            "src/nextcloud.config.xml",
            "src/jester.py",
            "README.md",
            "src/setup.ts",
            "data/config.json",
        ),
        *(
            "com/foo/gradle/Plugin.java",
            "src/venvs/a.py",
            "lib/github/x.rb",
            "src/testing.py",
            "tests/test_a.py",
        ),
        *("docs/claude.md.txt", "src/email/send.ts", "src/app/pytest_helpers.py", "src/app/coverage.py"),
    ],
)
def test_product_code_is_not_guarded(path: str) -> None:
    assert guarded(fold(path), True) is None


@pytest.mark.parametrize("path", ["src/__pycache__/a.cpython-312.pyc", "a.pyc", "src/a.pyo"])
def test_compiled_python_is_guarded(path: str) -> None:
    assert guarded(path, True) == COMPILED


@pytest.mark.parametrize(
    "path",
    [
        *(
            "pytest.py",
            "src/pytest.py",
            "app/pytest.py",
            "pytest/__init__.py",
            "_pytest/__init__.py",
            "unittest.py",
        ),
        *(
            "src/unittest/__init__.py",
            "mypy.py",
            "ruff.py",
            "pytest.so",
            "pytest.cpython-312-x86_64-linux-gnu.so",
        ),
        *(
            "src/pytest.pyi",
            "coverage.py",
            "src/coverage/__init__.py",
            "random.py",
            "src/json.py",
            "src/types.py",
        ),
        *("email/__init__.py",),
    ],
)
def test_a_new_module_that_hides_a_tool_or_the_standard_library_is_guarded(path: str) -> None:
    assert guarded(path, True) == SHADOW
    assert guarded(path, False) is None


@pytest.mark.parametrize(
    "path",
    [
        "__init__.py",
        ".config/app.json",
        "src/dotnet-tools.json",
        "pytest/helpers.py",
        "src/email/send.py",
        "app/json.py",
        "pytest.md",
        "src/test/A.java",
    ],
)
def test_a_name_that_hides_nothing_is_fine(path: str) -> None:
    assert guarded(path, True) is None


@pytest.mark.parametrize(
    "path",
    [
        *(
            "tests/test_a.py",
            "test/data/x.json",
            "src/__tests__/a.ts",
            "src/a.test.ts",
            "src/a.spec.jsx",
            "a_test.go",
        ),
        *(
            "src/test/java/com/FooTest.java",
            "FooTests.cs",
            "spec/models/user_spec.rb",
            "tests/a.rs",
            "src/a-test.js",
        ),
        *(
            "src/__snapshots__/a.snap",
            "e2e/login.ts",
            "Tests/AppTests/AppTests.swift",
            "x/UserTest.php",
            "t/basic.t",
        ),
        *("pkg/testdata/x", "test_a.py", "app/tests.py", "features/login.feature", "lib/a_test.exs"),
    ],
)
def test_tests_of_every_language_are_known(path: str) -> None:
    assert usual_test(path)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "src/app.py",
            "src/latest.java",
            "Contest.java".lower(),
            "docs/openapi-spec.yaml",
            "spec/openapi.yaml",
        ),
        *(
            "src/testing/a.py",
            "src/attest.go",
            "tests",
            "test",
            "src/protest.py",
            "app.spec",
            "src/testimonials.tsx",
        ),
    ],
)
def test_what_only_sounds_like_a_test_is_none(path: str) -> None:
    assert not usual_test(path)


_FOLDERS = st.lists(st.sampled_from([*USUAL_TEST_FOLDERS, "src", "latest"]), max_size=2)
_NAMES = st.sampled_from(
    [*(name.replace("*", "x") for name in USUAL_TEST_NAMES), "test", "a.py", "latest.go"]
)


@given(_FOLDERS, _NAMES)
def test_usual_tests_as_globs_say_the_same(folders: list[str], name: str) -> None:
    path = "/".join([*folders, name])
    assert PatternSet(USUAL_TESTS).covers(path) == usual_test(path)


def test_the_lists_are_in_the_form_they_are_compared_in() -> None:
    assert all(name == fold(name) for name in (*FILES, *FOLDERS))
    assert len(set(FILES)) == len(FILES)
