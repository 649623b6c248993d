"""Confirmation: arms trained with several seeds, and their comparison."""
