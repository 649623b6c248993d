"""What a study may choose: spaces over a network's norm slots, as Optuna is asked."""
