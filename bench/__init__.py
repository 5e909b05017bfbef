"""Measurements that are not part of the package: the message log by itself, and servers of other makes.

Read next: README.md; src/longlink/bench, which is `longlink bench`.
"""
