"""`python -m tests.attacks` prints the catalogue as the table of docs/security.md."""

from tests.attacks.table import table

print(table())
