"""Spaces: what a trial may choose on a network's norm slots, as suggestions of Optuna."""
