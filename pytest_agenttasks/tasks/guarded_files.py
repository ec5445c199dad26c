"""Files that decide what the gates do, in every language: a task may change one only if its scope names it.

All names here are compared as a file system would that ignores case. The lists are about what a gate, a
test runner, a linter, a build tool or a later agent session reads without being asked to.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from fnmatch import translate

CONFIGURATION = "tool or gate configuration"
COMPILED = "compiled Python, which would run in place of its source"
SHADOW = "takes the place of a module that the gates use"


def _words(*texts: str) -> tuple[str, ...]:
    return tuple(word for text in texts for word in text.split())


_PYTHON = """
    conftest.py pyproject.toml pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini tox.toml setup.cfg
    setup.py manifest.in .coveragerc noxfile.py mypy.ini .mypy.ini ruff.toml .ruff.toml .flake8 .pylintrc
    pylintrc pylintrc.toml .pylintrc.toml pyrightconfig.json basedpyrightconfig.json ty.toml .bandit
    .isort.cfg .style.yapf .pydocstyle .pydocstyle.ini .pydocstylerc .pyre_configuration pyrefly.toml
    hatch.toml pdm.toml .pdm.toml pdm.lock uv.toml uv.lock poetry.toml poetry.lock pipfile pipfile.lock
    environment.yml environment.yaml pixi.toml pixi.lock pylock.toml sitecustomize.py usercustomize.py
    pyvenv.cfg dodo.py fabfile.py .python-version *.pth *.egg-link requirements*.txt requirements*.in
    constraints*.txt pixi.*.toml pylock.*.toml
"""
_JAVASCRIPT = """
    package.json package-lock.json npm-shrinkwrap.json yarn.lock pnpm-lock.yaml pnpm-workspace.yaml
    .pnpmfile.cjs bun.lock bun.lockb bunfig.toml deno.json deno.jsonc deno.lock .npmrc .yarnrc* .ncurc*
    tsconfig*.json jsconfig.json tslint.json biome.json biome.jsonc .swcrc* .browserslistrc .nvmrc
    .node-version turbo.json nx.json lerna.json rush.json project.json testem.js jasmine.json jest*.json
    karma*.js cypress.json setuptests.* .nycrc* .c8rc* .taprc* .mocharc* .jshintrc .babelrc* .parcelrc*
    .eslintrc* .eslintignore .prettierrc* .prettierignore .stylelintrc* .stylelintignore .oxlintrc*
    .lintstagedrc* .commitlintrc* .postcssrc* gulpfile.* gruntfile.* jakefile.*
"""
SCRIPT_TOOLS = _words("""
    angular astro ava babel bun c8 codecept commitlint craco cypress cz detox esbuild eslint gatsby jasmine
    jest karma knip lint-staged metro mocha next nightwatch nuxt nx nyc oxlint parcel playwright postcss
    prettier protractor react-native release remix rollup rsbuild rslib rspack snowpack storybook stryker
    stylelint svelte swc tailwind testcafe tsdown tsup turbo unbuild unocss vite vitest vue wdio
    web-test-runner webpack wtr xo
""")
"""JavaScript tools, configured by `TOOL.config.js`, `TOOL.unit.conf.ts`, `TOOL.setup.mjs` and the like."""
_OTHER_LANGUAGES = """
    makefile gnumakefile bsdmakefile *.mk *.mak cmakelists.txt *.cmake cmakepresets.json
    cmakeuserpresets.json meson.build meson_options.txt meson.options sconstruct sconscript wscript
    build.ninja configure configure.ac build build.bazel workspace workspace.bazel module.bazel
    module.bazel.lock *.bzl .bazelrc .bazelversion .buckconfig cargo.toml cargo.lock build.rs clippy.toml
    .clippy.toml rustfmt.toml .rustfmt.toml rust-toolchain rust-toolchain.toml deny.toml nextest.toml
    go.mod go.sum go.work go.work.sum .golangci.* .golangci-* pom.xml build.xml *.gradle *.gradle.kts
    gradlew gradlew.bat gradle.properties gradle.lockfile *.versions.toml mvnw mvnw.cmd build.sbt *.sbt
    lombok.config .jvmopts .scalafmt.conf .scalafix.conf checkstyle.xml detekt.yml gemfile gemfile.lock
    *.gemspec rakefile *.rake guardfile .rspec .rubocop.yml .ruby-version .simplecov phpunit.xml
    phpunit.xml.dist phpunit.dist.xml composer.json composer.lock phpcs.xml phpcs.xml.dist psalm.xml
    psalm.xml.dist phpstan*.neon* .php-cs-fixer.php .php-cs-fixer.dist.php codeception.yml infection.json
    pint.json mix.exs mix.lock .formatter.exs .credo.exs rebar.config rebar.lock dune-project
    dune-workspace stack.yaml stack.yaml.lock cabal.project *.cabal package.yaml package.swift
    package.resolved .swiftlint.yml *.csproj *.fsproj *.vbproj *.vcxproj *.sln *.slnx global.json
    nuget.config directory.build.props directory.build.targets directory.packages.props
    packages.lock.json .runsettings pubspec.yaml pubspec.lock analysis_options.yaml dart_test.yaml
    build.zig build.zig.zon deps.edn project.clj shadow-cljs.edn bb.edn tests.edn cpanfile makefile.pl
    build.pl flake.nix flake.lock shell.nix default.nix
"""
_RUNNERS_AND_CI = """
    justfile .justfile *.just taskfile.yml taskfile.yaml taskfile.dist.yml earthfile .gitlab-ci*
    *.gitlab-ci.yml .gitpod.yml jenkinsfile jenkinsfile.* azure-pipelines.yml azure-pipelines.yaml
    bitbucket-pipelines.yml .travis.yml appveyor.yml .appveyor.yml .drone.yml .cirrus.yml .cirrus.star
    .woodpecker.yml buildspec.yml cloudbuild.yaml cloudbuild.yml codecov.yml .codecov.yml
    sonar-project.properties .pre-commit-config.yaml .pre-commit-hooks.yaml lefthook.yml .lefthook.yml
    lefthook.yaml .editorconfig .tool-versions mise.toml .mise.toml .envrc .env .env.* .worktreeinclude
    compose.yml compose.yaml compose.*.yml compose.*.yaml docker-compose*.yml docker-compose*.yaml
"""
_AGENTS = """
    claude.md claude.local.md agents.md agents.override.md gemini.md .mcp.json .claude.json .cursorrules
    .windsurfrules
"""
FILES = _words(_PYTHON, _JAVASCRIPT, _OTHER_LANGUAGES, _RUNNERS_AND_CI, _AGENTS)
"""Names of configuration files, as globs in lower case."""

SAMPLES = _words(".env.example .env.*.example .env.sample .env.template .env.dist")
"""Names that `FILES` cover but nothing reads."""

FOLDERS = _words("""
    .github .gitlab .gitea .forgejo .circleci .buildkite .woodpecker .teamcity .husky .cargo .mvn .yarn
    .bundle .vscode .idea .devcontainer .codex .cursor .gemini node_modules site-packages .venv venv .tox
    .nox .eggs buildsrc *.egg-info *.dist-info
""")
"""Names of folders that hold configuration, installed code or its metadata."""

TEST_MODULES = _words("pytest _pytest unittest pluggy xdist hypothesis mypy ruff")
"""Modules that are a tool's wherever they lie: a new file of that name could take its place."""

TOOL_MODULES = _words("""
    pytest_cov pytest_timeout pytest_asyncio coverage tox nox flake8 pylint black isort pyright nose2 trial
    twisted behave robot ward setuptools pip build
""")
"""Modules that take a tool's place only where imports start, like those of the standard library."""

USUAL_TEST_FOLDERS = _words(
    "test tests Test Tests __tests__ __mocks__ __snapshots__ testdata e2e androidTest"
)
USUAL_TEST_NAMES = _words("""
    test_*.py *_test.py *_tests.py tests.py test.py *.test.* *.tests.* *.spec.* *.cy.* *.e2e.* *.e2e-spec.*
    *-test.js *-test.jsx *-test.ts *-test.tsx *-test.mjs *-test.cjs *-spec.js *-spec.jsx *-spec.ts
    *-spec.tsx *-spec.mjs *-spec.cjs *.snap *_test.go *_test.rs tests.rs *Test.java *Tests.java
    *TestCase.java *IT.java *Test.kt *Tests.kt *Spec.kt *Test.scala *Spec.scala *Suite.scala *Test.groovy
    *Spec.groovy *Test.cs *Tests.cs *Test.fs *Tests.fs *_spec.rb *_test.rb test_*.rb spec_helper.rb
    rails_helper.rb *Test.php *Cest.php *Spec.php *_test.exs *_SUITE.erl *_tests.erl *_test.dart
    *Tests.swift *Test.swift *Tests.m *Spec.hs *Test.hs *_test.c *_test.cc *_test.cpp *_test.cxx test_*.c
    test_*.cc test_*.cpp *_unittest.cc *_unittest.cpp *_test.clj *_test.cljs *_test.jl *_test.lua
    *_spec.lua *.bats *.t *.feature test-*.R test_*.sh *_test.sh *_test.zig *_test.ml *_test.nim
""")
USUAL_TESTS = (
    *(f"**/{folder}/" for folder in USUAL_TEST_FOLDERS),
    *(f"**/{name}" for name in USUAL_TEST_NAMES),
)
"""The usual test files of every language, as globs: what `tests: null` in the settings stands for."""


def guarded(folded: str, added: bool) -> str | None:
    """Why a path is guarded, or None; `folded` is the path with case folded, `added` says that it is new."""
    *folders, name = folded.split("/")
    if (_is_file(name) and not _is_sample(name)) or _is_script_tools(name):
        return CONFIGURATION
    if _is_folder(name) or any(map(_is_folder, folders)):
        return CONFIGURATION
    if folders[-2:] == ["gradle", "wrapper"] or (folders[-1:] == [".config"] and name in _DOT_CONFIG):
        return CONFIGURATION
    if name.endswith((".pyc", ".pyo")):
        return COMPILED
    return SHADOW if added and _shadows(folders, name) else None


def usual_test(path: str) -> bool:
    """Whether `USUAL_TESTS` cover `path`."""
    *folders, name = path.split("/")
    return not _TEST_FOLDERS.isdisjoint(folders) or _is_test(name)


class _Names:
    """Names and globs of names, for a quick answer: most can be looked up."""

    def __init__(self, globs: Iterable[str]) -> None:
        every = tuple(globs)
        self._exact = frozenset(glob for glob in every if "*" not in glob)
        self._ends = tuple(glob[1:] for glob in every if glob.rfind("*") == 0)
        self._others = re.compile(
            "|".join(translate(glob) for glob in every if glob.rfind("*") > 0) or "(?!)"
        )

    def __call__(self, name: str) -> bool:
        return name in self._exact or name.endswith(self._ends) or self._others.match(name) is not None


_is_file = _Names(FILES)
_is_sample = _Names(SAMPLES)
_is_folder = _Names(FOLDERS)
_is_test = _Names(USUAL_TEST_NAMES)
_is_script_tools = re.compile(
    rf"(?:{'|'.join(map(re.escape, SCRIPT_TOOLS))})"
    r"(?:(?:[.-].*)?\.conf(?:ig)?|[.-]setup|\.workspace|\.preset)\..*",
    re.S,
).fullmatch
_TEST_FOLDERS = frozenset(USUAL_TEST_FOLDERS)
_DOT_CONFIG = frozenset({"nextest.toml", "dotnet-tools.json"})
_MODULE_ENDS = (".py", ".pyi", ".pyc", ".pyd", ".so")
_IMPORT_ROOTS: tuple[list[str], ...] = ([], ["src"])


def _shadows(folders: list[str], name: str) -> bool:
    if not name.endswith(_MODULE_ENDS):
        return False
    module = name.split(".", 1)[0]
    if module == "__init__" and folders:
        *folders, module = folders
    if module in TEST_MODULES:
        return True
    return folders in _IMPORT_ROOTS and (module in TOOL_MODULES or module in sys.stdlib_module_names)
