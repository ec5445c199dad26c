"""Agent tasks as pytest tests: one task file, one verified commit.

PYTEST_DONT_REWRITE: nothing here asserts anything, and every pytest run of the environment imports this.
"""

__version__ = "0.1.0"
