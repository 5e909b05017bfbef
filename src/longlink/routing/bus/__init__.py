"""Buses: base.py is the contract, each other file one backend."""
