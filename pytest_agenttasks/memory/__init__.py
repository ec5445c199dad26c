"""The memory file (CLAUDE.md): its sections, and what runner and agents write into them."""
