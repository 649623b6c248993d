"""Arms trained with several seeds, and how they are compared."""
