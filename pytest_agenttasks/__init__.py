"""Agent tasks as pytest tests: one task file, one verified commit."""

__version__ = "0.1.0"
