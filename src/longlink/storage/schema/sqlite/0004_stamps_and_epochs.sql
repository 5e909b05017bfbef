-- Order and time become two things: a stamp only rises, whatever the clock does; a time is what the clock said.

-- changed_at: when the newest change was made, ms since the Unix epoch. `changed` is its stamp. A clock that was wrong
-- has left times in the future; they must not outlive this migration.
ALTER TABLE conversations ADD COLUMN changed_at INTEGER NOT NULL DEFAULT 0;

UPDATE conversations SET changed_at = min(changed / 1000, unixepoch() * 1000);

-- stamp: of the commit, which orders messages as seq does. In rows of earlier versions it is a time in ms, lower than
-- every stamp given since, and sent_at is NULL: so no row is written again. stamp lies before the content, because a
-- sync looks at it without reading the content.
ALTER TABLE messages RENAME COLUMN sent_at TO stamp;

ALTER TABLE messages ADD COLUMN sent_at INTEGER;

-- One row per opening of the database. name: random, tells this log from every copy of it. newest: the newest stamp on
-- disk when the next opening began; NULL while the epoch lasts.
CREATE TABLE epochs (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    newest INTEGER
) STRICT;
