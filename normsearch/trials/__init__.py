"""Trials: their networks and trainings, exported models, and prediction."""
