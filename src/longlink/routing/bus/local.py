"""The bus of one process: it calls the gateway directly. No queue, so nothing to bound and nothing to lose."""

from __future__ import annotations

from collections.abc import Sequence

from longlink.routing.bus.base import Ending, Parcel, Receiver


class LocalBus:
    def __init__(self) -> None:
        self._gateways: dict[int, Receiver] = {}

    def publish(self, gateway: int, parcels: Sequence[Parcel]) -> None:
        receiver = self._gateways.get(gateway)
        if receiver is not None:
            receiver.receive(parcels)

    def end(self, gateway: int, endings: Sequence[Ending]) -> None:
        receiver = self._gateways.get(gateway)
        if receiver is not None:
            receiver.end(endings)

    def broadcast(self, binary: bytes, text: bytes) -> int:
        for receiver in self._gateways.values():
            receiver.broadcast(binary, text)
        return len(self._gateways)

    def attach(self, gateway: int, receiver: Receiver) -> None:
        """What is for this gateway goes to receiver from now on."""
        self._gateways[gateway] = receiver

    def detach(self, gateway: int) -> None:
        """Nothing more for this gateway. Unknown is fine."""
        self._gateways.pop(gateway, None)
