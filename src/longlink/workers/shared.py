"""What the processes of one server have in common: made by the supervisor before it forks, and inherited.

Read next: child.py.
"""

from __future__ import annotations

import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from msgspec import structs

from longlink import errors
from longlink.access.resume import ResumeKeys
from longlink.access.tokens import Verifier
from longlink.config import DEFAULT_OPERATIONS, Config, Settings
from longlink.errors import LonglinkError
from longlink.ops import sockets
from longlink.parts import Place, tell_elsewhere
from longlink.storage.sqlite.database import prepare_database
from longlink.storage.sqlite.lock import FolderLock, lock_folder
from longlink.workers.ports import HeldPort

TRUNK: Final = "trunk.sock"
SECRET_BYTES: Final = 16
TICKET_SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Shared:
    """What is made before the first fork.

    config: with the real ports.
    settings: as they were given, to be read again.
    lock: of the data folder, held by whichever of supervisor and logic lives longer.
    listener: for trunks; it outlives every logic, and connections wait in it while there is none.
    path: the way to the listener.
    secret: what a gateway must know to be let in.
    ticket_secret: of the TLS tickets that all gateways accept.
    """

    config: Config
    settings: Settings
    place: Place
    lock: FolderLock
    listener: socket.socket
    path: str
    secret: bytes
    ticket_secret: bytes
    ports: tuple[HeldPort, ...]

    def release(self) -> None:
        """What the supervisor takes back at its end."""
        self.place.note.unlink(missing_ok=True)
        (self.place.folder / TRUNK).unlink(missing_ok=True)
        self.listener.close()
        for port in self.ports:
            port.release()
        self.lock.release()


def share(settings: Settings) -> Shared:
    """Take the folder, its database, the keys and the ports.

    Raises DATA_LOCKED, DATA_NEWER, DATA_UNUSABLE, CONFIG_INVALID, PORT_TAKEN.
    """
    config = settings.config
    folder = Path(config.data.dir)
    lock = lock_folder(folder)
    # Before the keys: a folder with keys and without a database has lost it.
    prepare_database(folder)
    # Made here if there are none, so that gateways do not make one each.
    Verifier.from_config(config.auth, folder)
    ResumeKeys.from_folder(folder)
    link, http = HeldPort(config.listen.address, "listen.address"), HeldPort(config.listen.http, "listen.http")
    operations = _hold_operations(config.listen.operations)
    listen = structs.replace(config.listen, address=link.address, http=http.address)
    if operations is not None:
        listen = structs.replace(listen, operations=operations.address)
    real = structs.replace(config, listen=listen)
    try:
        listener = sockets.listen_in(folder, TRUNK)
        path = sockets.path_in(sockets.open_folder(folder), TRUNK)
    except OSError as error:
        raise LonglinkError(errors.DATA_UNUSABLE, f"cannot make {folder / TRUNK}: {error.strerror}") from None
    place = Place(real, link.port, http.port, operations.port if operations else 0)
    ports = (link, http, operations) if operations else (link, http)
    secret, ticket_secret = secrets.token_bytes(SECRET_BYTES), secrets.token_bytes(TICKET_SECRET_BYTES)
    return Shared(real, settings, place, lock, listener, path, secret, ticket_secret, ports)


def _hold_operations(address: str) -> HeldPort | None:
    """As parts.serve_operations: the default port gives way when it is taken."""
    if not address:
        return None
    try:
        return HeldPort(address, "listen.operations")
    except LonglinkError as error:
        if error.row is not errors.PORT_TAKEN or address != DEFAULT_OPERATIONS:
            raise
    found = HeldPort(f"{address.rpartition(':')[0]}:0", "listen.operations")
    tell_elsewhere(found.port)
    return found
