"""`python -m tests.attacks` prints the catalogue as the table of docs/security.md; `--write` puts it there."""

import sys

from tests.attacks import table

if "--write" in sys.argv[1:]:
    table.write()
else:
    print(table.table())
