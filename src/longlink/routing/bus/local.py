"""The bus of one process: publish calls the gateway directly. No queue, so nothing to bound and nothing to lose."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from longlink.routing.bus.base import Parcel


class LocalBus:
    def __init__(self) -> None:
        self._gateways: dict[str, Callable[[Sequence[Parcel]], None]] = {}

    def publish(self, gateway: str, parcels: Sequence[Parcel]) -> None:
        receive = self._gateways.get(gateway)
        if receive is not None:
            receive(parcels)

    def attach(self, gateway: str, receive: Callable[[Sequence[Parcel]], None]) -> None:
        self._gateways[gateway] = receive

    def detach(self, gateway: str) -> None:
        self._gateways.pop(gateway, None)
