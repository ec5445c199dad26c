"""Files as git trees: repositories, workspaces, and what changed in them."""
