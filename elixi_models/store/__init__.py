"""What is kept: one contract of domain verbs, on SQLite or MongoDB."""
