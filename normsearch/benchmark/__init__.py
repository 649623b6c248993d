"""A recorded table of trainings, and searches replayed on it."""
