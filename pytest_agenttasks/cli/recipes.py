"""What a project's files say about its gates and dependencies, for `agenttasks init`.

Nothing of the project is executed: only its manifests are read. Each ecosystem is one function from a folder
to a `Recipe`; `detect` looks at the top folder and one level of subfolders (and `packages/*`, `apps/*`).
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .recipes_compiled import cargo, go
from .recipes_make import make
from .recipes_node import node
from .recipes_python import python
