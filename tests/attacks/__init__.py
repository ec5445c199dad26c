"""What a hostile or careless agent may try, as data: each attack with the outcome that it must have."""
