"""A soak: many clients of one real server through a hostile network, with kills, and books that must balance.

`python -m longlink.testing.soak --seconds 60` or `make soak SECONDS=60`. Read next: __main__.py, crowd.py.
"""
