"""Applications that were written for another interface, served as routes like any other."""
