"""The Optuna storage, leases, and a run's folder."""
