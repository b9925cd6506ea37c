"""Labels: which task they make, decided once from the training rows, and the numbers that they become."""
