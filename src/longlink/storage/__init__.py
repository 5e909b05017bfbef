"""The storage layer: the message log and everything else that is durable.

base.py is the contract, and each backend is a package beside it; only they know SQL. Nothing above imports more than
base.py and one backend's open function. Read next: base.py.
"""
