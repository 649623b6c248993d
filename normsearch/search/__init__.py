"""The search: a coordinator of trials, and the executors that train them."""
