"""Replays of searches on the recorded table, and the judges of search statements."""
