"""Sessions on other machines: the connection, what goes over it, and the side that holds them there."""
