"""Files that decide what the gates do, in every language: a task may change one only if its scope names it.

All names here are compared as a file system would that ignores case. The lists are about what a gate, a
test runner, a linter, a build tool or a later agent session reads without being asked to.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from fnmatch import translate

NAMES = frozenset(
    # Python
    """
    conftest.py pyproject.toml pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini tox.toml setup.cfg
    setup.py manifest.in .coveragerc noxfile.py mypy.ini .mypy.ini ruff.toml .ruff.toml .flake8 .pylintrc
    pylintrc pylintrc.toml .pylintrc.toml pyrightconfig.json basedpyrightconfig.json ty.toml .bandit
    .isort.cfg .style.yapf .pydocstyle .pydocstyle.ini .pydocstylerc .pyre_configuration pyrefly.toml
    hatch.toml pdm.toml .pdm.toml pdm.lock uv.toml uv.lock poetry.toml poetry.lock pipfile pipfile.lock
    environment.yml environment.yaml pixi.toml pixi.lock pylock.toml sitecustomize.py usercustomize.py
    pyvenv.cfg dodo.py fabfile.py .python-version
    """
    # JavaScript and TypeScript
    """
    package.json package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml pnpm-workspace.yaml
    .pnpmfile.cjs bun.lock bun.lockb bunfig.toml deno.json deno.jsonc deno.lock .npmrc jsconfig.json
    tslint.json biome.json biome.jsonc .swcrc .browserslistrc .nvmrc .node-version turbo.json nx.json
    lerna.json rush.json project.json testem.js jasmine.json .nycrc .c8rc .jshintrc
    """
    # native, JVM, .NET and others
    """
    makefile gnumakefile bsdmakefile cmakelists.txt cmakepresets.json cmakeuserpresets.json meson.build
    meson_options.txt meson.options sconstruct sconscript wscript build.ninja configure configure.ac
    build build.bazel workspace workspace.bazel module.bazel module.bazel.lock .bazelrc .bazelversion .buckconfig
    cargo.toml cargo.lock build.rs clippy.toml .clippy.toml rustfmt.toml .rustfmt.toml rust-toolchain
    rust-toolchain.toml deny.toml nextest.toml go.mod go.sum go.work go.work.sum pom.xml build.xml
    gradlew gradlew.bat gradle.properties gradle.lockfile mvnw mvnw.cmd build.sbt lombok.config .jvmopts .scalafmt.conf
    .scalafix.conf checkstyle.xml detekt.yml gemfile gemfile.lock rakefile guardfile .rspec .rubocop.yml
    .ruby-version .simplecov phpunit.xml phpunit.xml.dist phpunit.dist.xml composer.json composer.lock
    phpcs.xml phpcs.xml.dist psalm.xml psalm.xml.dist .php-cs-fixer.php .php-cs-fixer.dist.php codeception.yml
    infection.json pint.json mix.exs mix.lock .formatter.exs .credo.exs rebar.config rebar.lock erlang.mk
    dune-project stack.yaml stack.yaml.lock cabal.project package.yaml package.swift package.resolved .swiftlint.yml
    global.json nuget.config directory.build.props directory.build.targets directory.packages.props
    packages.lock.json .runsettings pubspec.yaml pubspec.lock analysis_options.yaml dart_test.yaml
    build.zig build.zig.zon dune-workspace deps.edn project.clj shadow-cljs.edn bb.edn tests.edn cpanfile makefile.pl
    build.pl flake.nix flake.lock shell.nix default.nix
    """
    # task runners, CI and hooks
    """
    justfile .justfile taskfile.yml taskfile.yaml taskfile.dist.yml earthfile .gitlab-ci.yml .gitpod.yml
    jenkinsfile azure-pipelines.yml azure-pipelines.yaml bitbucket-pipelines.yml .travis.yml appveyor.yml
    .appveyor.yml .drone.yml .cirrus.yml .cirrus.star .woodpecker.yml buildspec.yml cloudbuild.yaml
    cloudbuild.yml codecov.yml .codecov.yml sonar-project.properties .pre-commit-config.yaml
    .pre-commit-hooks.yaml lefthook.yml .lefthook.yml lefthook.yaml .editorconfig .tool-versions mise.toml
    .mise.toml .envrc .worktreeinclude
    """
    # what later agent sessions read
    """
    claude.md claude.local.md agents.md agents.override.md gemini.md .mcp.json .claude.json .cursorrules .windsurfrules
    """.split()
)

_SCRIPT_TOOLS = (
    *(
        "angular",
        "astro",
        "ava",
        "babel",
        "bun",
        "c8",
        "codecept",
        "commitlint",
        "craco",
        "cypress",
        "cz",
        "detox",
    ),
    *(
        "esbuild",
        "eslint",
        "gatsby",
        "jasmine",
        "jest",
        "karma",
        "knip",
        "lint-staged",
        "metro",
        "mocha",
        "next",
    ),
    *(
        "nightwatch",
        "nuxt",
        "nx",
        "nyc",
        "oxlint",
        "parcel",
        "playwright",
        "postcss",
        "prettier",
        "protractor",
    ),
    *(
        "react-native",
        "release",
        "remix",
        "rollup",
        "rsbuild",
        "rslib",
        "rspack",
        "snowpack",
        "storybook",
        "stryker",
    ),
    *(
        "stylelint",
        "svelte",
        "swc",
        "tailwind",
        "taze",
        "testcafe",
        "tsdown",
        "tsup",
        "turbo",
        "unbuild",
        "unocss",
    ),
    *("vite", "vitest", "vue", "wdio", "web-test-runner", "webpack", "wtr", "xo"),
)
"""JavaScript tools that are configured by `TOOL.config.js` and the like."""

NAME_GLOBS = (
    # Python
    *(
        "*.pth",
        "*.egg-link",
        "requirements*.txt",
        "requirements*.in",
        "constraints*.txt",
        "pixi.*.toml",
        "pylock.*.toml",
    ),
    # JavaScript and TypeScript
    *(
        f"{tool}{more}.{kind}.*"
        for tool in _SCRIPT_TOOLS
        for more in ("", ".*", "-*")
        for kind in ("config", "conf")
    ),
    *(
        f"{tool}{more}"
        for tool in _SCRIPT_TOOLS
        for more in (".setup.*", "-setup.*", ".workspace.*", ".preset.*")
    ),
    *("tsconfig*.json", "cypress.json", "jest*.json", "karma*.js", "setuptests.*"),
    *(
        "gulpfile.*",
        "gruntfile.*",
        "jakefile.*",
        ".yarnrc*",
        ".ncurc*",
        ".nycrc.*",
        ".c8rc.*",
        ".taprc*",
        ".parcelrc*",
    ),
    *(".eslintrc*", ".eslintignore", ".prettierrc*", ".prettierignore", ".stylelintrc*", ".stylelintignore"),
    *(".babelrc*", ".mocharc*", ".lintstagedrc*", ".commitlintrc*", ".postcssrc*", ".swcrc*", ".oxlintrc*"),
    # others
    *("*.mk", "*.mak", "*.cmake", "*.bzl", "*.gradle", "*.gradle.kts", "*.versions.toml", "*.sbt", "*.rake"),
    *(
        "*.csproj",
        "*.fsproj",
        "*.vbproj",
        "*.vcxproj",
        "*.sln",
        "*.slnx",
        "*.gemspec",
        "*.cabal",
        "phpstan*.neon*",
    ),
    *(
        ".golangci.*",
        ".golangci-*",
        "jenkinsfile.*",
        "*.gitlab-ci.yml",
        ".gitlab-ci*",
        ".env",
        ".env.*",
        "*.just",
    ),
)

HARMLESS_GLOBS = (".env.example", ".env.*.example", ".env.sample", ".env.template", ".env.dist")

FOLDERS = frozenset(
    """
    .github .gitlab .gitea .forgejo .circleci .buildkite .woodpecker .teamcity .husky .cargo .mvn .yarn .bundle .vscode
    .idea .devcontainer .codex .cursor .gemini node_modules site-packages .venv venv .tox .nox .eggs buildsrc
    """.split()
)

FOLDER_ENDS = (".egg-info", ".dist-info")

PATHS = (r"(?:.*/)?gradle/wrapper/.*", r"(?:.*/)?\.config/(?:nextest\.toml|dotnet-tools\.json)")

TEST_MODULES = frozenset({"pytest", "_pytest", "unittest", "pluggy", "xdist", "hypothesis", "mypy", "ruff"})
"""Modules that a gate starts from any folder: a file of that name, wherever it is, could take the tool's place."""

TOOL_MODULES = frozenset(
    """
    pytest_cov pytest_timeout pytest_asyncio coverage tox nox flake8 pylint black isort pyright nose2 trial twisted
    behave robot ward django setuptools pip build
    """.split()
)
"""Modules that take a tool's place if they lie where imports start."""

USUAL_TEST_FOLDERS = (
    "test",
    "tests",
    "__tests__",
    "__mocks__",
    "__snapshots__",
    "testdata",
    "e2e",
    "androidTest",
    "Test",
    "Tests",
)
USUAL_TEST_NAMES = (
    *("test_*.py", "*_test.py", "*_tests.py", "tests.py", "test.py", "*.test.*", "*.spec.*"),
    *(
        f"*{mark}.{end}"
        for mark in ("-test", "-spec", "_spec")
        for end in ("js", "jsx", "ts", "tsx", "mjs", "cjs")
    ),
    *(
        "*.tests.*",
        "*.cy.*",
        "*.e2e.*",
        "*.e2e-spec.*",
        "*.snap",
        "*.stories.test.*",
        "*_test.go",
        "*_test.rs",
        "tests.rs",
    ),
    *(
        "*Test.java",
        "*Tests.java",
        "*TestCase.java",
        "*IT.java",
        "*Test.kt",
        "*Tests.kt",
        "*Spec.kt",
        "*Test.scala",
    ),
    *(
        "*Spec.scala",
        "*Suite.scala",
        "*Test.groovy",
        "*Spec.groovy",
        "*Test.cs",
        "*Tests.cs",
        "*Test.fs",
        "*Tests.fs",
    ),
    *(
        "*_spec.rb",
        "*_test.rb",
        "test_*.rb",
        "spec_helper.rb",
        "rails_helper.rb",
        "*Test.php",
        "*Cest.php",
        "*Spec.php",
    ),
    *(
        "*_test.exs",
        "*_SUITE.erl",
        "*_tests.erl",
        "*_test.dart",
        "*Tests.swift",
        "*Test.swift",
        "*Tests.m",
        "*Spec.hs",
    ),
    *("*Test.hs", "*_test.c", "*_test.cc", "*_test.cpp", "*_test.cxx", "test_*.c", "test_*.cc", "test_*.cpp"),
    *(
        "*_unittest.cc",
        "*_unittest.cpp",
        "*_test.clj",
        "*_test.cljs",
        "*_test.jl",
        "*_test.lua",
        "*_spec.lua",
    ),
    *(
        "*.bats",
        "*.t",
        "*.feature",
        "test-*.R",
        "test_*.sh",
        "*_test.sh",
        "*_test.zig",
        "*_test.ml",
        "*_test.nim",
    ),
)
USUAL_TESTS = (*(f"**/{folder}/" for folder in USUAL_TEST_FOLDERS), *USUAL_TEST_NAMES)
"""The usual test files of every language, as globs: what `tests: null` in the settings stands for."""

_PYTHON = (".py", ".pyc", ".pyd", ".so", ".pyi")
_IMPORT_ROOTS = ("", "src/")


def _any_of(globs: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(translate(glob) for glob in globs))


_NAME_GLOBS = _any_of(NAME_GLOBS)
_HARMLESS = _any_of(HARMLESS_GLOBS)
_PATHS = re.compile("|".join(PATHS), re.S)
_TEST_NAMES = _any_of(USUAL_TEST_NAMES)
_TEST_FOLDERS = frozenset(USUAL_TEST_FOLDERS)

CONFIGURATION = "tool or gate configuration"
COMPILED = "compiled Python, which would run in place of its source"
SHADOW = "takes the place of a module that the gates use"


def guarded(folded: str, added: bool) -> str | None:
    """Why a path is guarded, or None; `folded` is the path with case folded, `added` says that it is new."""
    *folders, name = folded.split("/")
    if name in NAMES or (_NAME_GLOBS.match(name) and not _HARMLESS.match(name)) or _PATHS.fullmatch(folded):
        return CONFIGURATION
    if any(folder in FOLDERS or folder.endswith(FOLDER_ENDS) for folder in (*folders, name)):
        return CONFIGURATION
    if name.endswith((".pyc", ".pyo")):
        return COMPILED
    return SHADOW if added and _shadows(folders, name) else None


def usual_test(path: str) -> bool:
    """Whether `USUAL_TESTS` cover `path`."""
    *folders, name = path.split("/")
    return not _TEST_FOLDERS.isdisjoint(folders) or _TEST_NAMES.match(name) is not None


def _shadows(folders: list[str], name: str) -> bool:
    if not name.endswith(_PYTHON):
        return False
    module = name.split(".", 1)[0]
    if module == "__init__" and folders:
        *folders, module = folders
    if module in TEST_MODULES:
        return True
    root = "".join(f"{folder}/" for folder in folders)
    return root in _IMPORT_ROOTS and (module in TOOL_MODULES or module in sys.stdlib_module_names)
