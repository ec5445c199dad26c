"""The pytest side: thin glue between pytest's hooks and the core, which knows nothing of pytest."""
