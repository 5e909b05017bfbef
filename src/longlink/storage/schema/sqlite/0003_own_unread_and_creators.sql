-- A user's own entries are never unread, and a conversation without entries is shown to its creator only.

-- One row per entry that its sender wrote above their own read mark. Own entries above the mark are a range of it.
CREATE TABLE own_unread (
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    user INTEGER NOT NULL REFERENCES users (id),
    seq INTEGER NOT NULL,
    PRIMARY KEY (conversation, user, seq)
) STRICT, WITHOUT ROWID;

INSERT INTO own_unread (conversation, user, seq)
SELECT m.conversation, m.sender, m.seq
FROM members AS r CROSS JOIN messages AS m ON m.conversation = r.conversation AND m.seq > r.read
WHERE m.sender = r.user;

-- The user id of the creator; 0 for conversations of before, which are shown once they have an entry.
ALTER TABLE conversations ADD COLUMN creator INTEGER NOT NULL DEFAULT 0;
