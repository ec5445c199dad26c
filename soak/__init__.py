"""The soak: days of a queue in minutes, with agents and a machine that misbehave, and an oracle that believes nobody."""
