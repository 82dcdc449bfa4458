"""Which model answers chat, and the two-phase way from one to the next."""
