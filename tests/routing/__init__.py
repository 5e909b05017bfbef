"""Sessions, delivery and the bus of one process."""
