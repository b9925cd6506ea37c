"""Labels: the task they define, decided once from the training rows, and their encoding as numbers."""
