"""What arrives, on its way into the inbox and, with a store, onto the disk; what the application takes out again.

With a store the handling of a message ends when the application asks for the next event, and then its place is written
before anything else happens; without one, as soon as it is taken. Never decides what is missing: that is inbox.py.
"""

from __future__ import annotations

from longlink.client.events import Event, Message
from longlink.client.inbox import Inbox
from longlink.client.store import UNKNOWN, Store
from longlink.protocol import frames


class Incoming:
    """One per client. store: None keeps nothing."""

    def __init__(self, inbox: Inbox, store: Store | None = None) -> None:
        self.inbox = inbox
        self._store = store
        if store is not None:
            inbox.eager = False
            inbox.user = store.fact("user")
            inbox.restore(store.places(), store.number("synced_at"))
            inbox.lineage.epoch, inbox.lineage.newest = store.fact("epoch"), store.number("newest")

    @property
    def keeps(self) -> bool:
        """Whether messages are kept to be read offline."""
        return self._store is not None

    def pushed(self, frame: frames.Message, now: float) -> None:
        if self._store is not None and self.inbox.lineage.checked:
            self._store.keep([frame])
        self.inbox.pushed(frame, now)

    def fetched(self, page: frames.History, now: float) -> None:
        if self._store is not None:
            self._store.keep(page.messages)
        self.inbox.fetched(page, now)

    def change(self, change: frames.Change, now: float) -> bool:
        """See Inbox.change."""
        if self._store is not None:
            if self.inbox.lineage.replacing:
                self._store.forget([(change.conversation.id, change.kept)])
            self._store.keep(change.messages)
        return self.inbox.change(change, now)

    def synced(self, page: frames.Synced, now: float) -> None:
        """The last page of a sync was applied; on disk it counts only together with the heads that it brought."""
        self.inbox.synced(page.synced_at, now, page.epoch)
        if self._store is not None:
            self._store.forget_all(self.inbox.gone())
        self.save(synced_at=page.synced_at)

    def restart(self) -> None:
        """The server's log is another one than that of the places that are known here."""
        self.inbox.restart()
        self.save(synced_at=0)

    def take(self, now: float) -> Event | None:
        """The next event; the handling of the one before ends with that."""
        self.handled()
        return self.inbox.take(now)

    def handled(self) -> None:
        """The application is done with what it took last."""
        if self.inbox.handled() is not None:
            self.save()

    def acked(self, message: Message) -> None:
        """The application has acknowledged by itself: everything up to this message is handled."""
        self.inbox.settle(message.conversation, message.seq)
        self.save()

    def read(self, conversation: str, seq: int) -> None:
        self.inbox.read(conversation, seq)
        self.save()

    def begun(self, user: str, key: str) -> None:
        """A link is up. How many events came on it is known only if this process ends in good order."""
        self.inbox.user = user
        if self._store is not None:
            self._store.note(user=user, key=key, received=UNKNOWN)

    def close(self) -> None:
        """Nothing is written from now on; what is taken out later is handed out again by the next process."""
        self._store = None

    def save(self, **facts: str | int) -> None:
        """Write down how things stand, and facts that hold only with that."""
        if self._store is None:
            return
        changed = self.inbox.changed()
        lineage = self.inbox.lineage
        if lineage.checked:
            # With the places that they vouch for.
            facts |= {"epoch": lineage.epoch, "newest": lineage.newest}
        if changed or facts:
            self._store.place(changed, **facts)
