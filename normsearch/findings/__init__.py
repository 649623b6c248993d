"""Published statements, the studies that test them, and verdicts."""
