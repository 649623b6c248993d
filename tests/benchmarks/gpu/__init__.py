"""What a machine with a GPU can show and no other: ``make gpu``; needs torch and NumPy alone."""
