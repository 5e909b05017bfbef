-- The first schema. Names of users and conversations appear once; every other table carries their integer ids.

CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

-- changed: the stamp of the newest change of the log or of a mark. A stamp is ms since the Unix epoch times 1000 plus a
-- counter: no two commits share one, so a cursor over it is stable.
CREATE TABLE conversations (
    id INTEGER PRIMARY KEY,
    public_id TEXT NOT NULL UNIQUE,
    kind INTEGER NOT NULL,
    head INTEGER NOT NULL,
    changed INTEGER NOT NULL
) STRICT;

-- The one direct conversation of two users, user_a <= user_b.
CREATE TABLE directs (
    user_a INTEGER NOT NULL REFERENCES users (id),
    user_b INTEGER NOT NULL REFERENCES users (id),
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    PRIMARY KEY (user_a, user_b),
    CHECK (user_a <= user_b)
) STRICT, WITHOUT ROWID;

CREATE TABLE members (
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    user INTEGER NOT NULL REFERENCES users (id),
    delivered INTEGER NOT NULL,
    PRIMARY KEY (conversation, user)
) STRICT, WITHOUT ROWID;

CREATE INDEX members_by_user ON members (user);

-- A rowid table, so that rows lie in the order of their arrival. The two keys are the guards of the whole product:
-- a seq is given once, and a resend meets its first copy.
CREATE TABLE messages (
    conversation INTEGER NOT NULL REFERENCES conversations (id),
    seq INTEGER NOT NULL,
    sender INTEGER NOT NULL REFERENCES users (id),
    client_id TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    content BLOB NOT NULL,
    PRIMARY KEY (conversation, seq),
    UNIQUE (conversation, sender, client_id)
) STRICT;

-- What a readiness check writes, to know that a write works.
CREATE TABLE probe (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    stamp INTEGER NOT NULL
) STRICT;

INSERT INTO probe (id, stamp) VALUES (1, 0);
