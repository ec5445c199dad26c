"""Makes `tests` importable as a package, whatever folder pytest is started from."""
