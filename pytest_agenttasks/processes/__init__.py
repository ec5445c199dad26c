"""Running programs, and ending everything that they started."""
