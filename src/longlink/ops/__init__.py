"""Operation: logs and metrics, for every layer to use. Knows no layer; what it shows is handed to it."""
