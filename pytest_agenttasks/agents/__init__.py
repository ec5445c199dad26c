"""The agents: claude, command and replay, and the contract they share with those of extenders."""
