-- Read marks, and who is mentioned where.

-- What had been received before there were read marks counts as read, for otherwise every old message would be unread.
ALTER TABLE members ADD COLUMN read INTEGER NOT NULL DEFAULT 0;

UPDATE members SET read = delivered;

-- One row per message and member whom it mentions. Unread mentions are a range of it, above the read mark.
CREATE TABLE mentions (
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    user INTEGER NOT NULL REFERENCES users (id),
    seq INTEGER NOT NULL,
    PRIMARY KEY (conversation, user, seq)
) STRICT, WITHOUT ROWID;
