"""Runs that die at each of their steps, and what must be true after the next start."""
