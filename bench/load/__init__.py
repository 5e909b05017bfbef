"""The load generator: one process of many clients, told what to do on stdin. Read next: __main__.py, ../swarm.py."""
