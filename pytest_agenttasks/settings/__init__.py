"""agenttasks.yaml and the command line, as one immutable record."""
