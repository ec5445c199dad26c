"""`python -m pytest_agenttasks.cli`: the command without its script."""

from __future__ import annotations

import sys

from . import main

sys.exit(main())
