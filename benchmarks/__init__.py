"""What the runner costs beside the bare alternatives: `make bench`, or `python -m benchmarks [--short] [--only NAME]`."""
