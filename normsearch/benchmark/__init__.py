"""A table of recorded trainings, and replays of searches on it."""
