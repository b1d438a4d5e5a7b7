"""A run in the formats of other tools: one module a format, all fed by the same two tables."""
