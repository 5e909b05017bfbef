"""Buses: one file a backend."""
