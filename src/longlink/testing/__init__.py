"""The public test kit: a real server to be killed, a hostile network in front of it, and the books that judge a run."""

from longlink.testing.clock import Clock
from longlink.testing.facts import Device, Entry, Marks, ViolationError
from longlink.testing.history import History
from longlink.testing.losses import PACKETS, Loss
from longlink.testing.network import HostileNetwork, Weather
from longlink.testing.server import RunningServer, run_server

__all__ = [
    "PACKETS",
    "Clock",
    "Device",
    "Entry",
    "History",
    "HostileNetwork",
    "Loss",
    "Marks",
    "RunningServer",
    "ViolationError",
    "Weather",
    "run_server",
]
