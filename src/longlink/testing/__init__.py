"""The public test kit: a real server in a process of its own, to be started, killed and started again by tests."""

from longlink.testing.server import RunningServer, run_server

__all__ = ["RunningServer", "run_server"]
