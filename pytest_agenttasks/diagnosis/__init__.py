"""What `agenttasks doctor` looks at: everything that would stop a run, all of it at once."""
