"""The benchmark of Longlink: its figures against their targets, peers in the same run. Read next: README.md, run.py."""
