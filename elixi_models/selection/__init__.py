"""Which model should take a message, and why."""
