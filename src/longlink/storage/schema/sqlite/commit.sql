-- One commit is one INSERT into this view: SQLite then does all of it in one step, and the writer thread gives the GIL
-- away once per commit and not once per row or statement (bench/storage.py shows the difference). Lists come as JSON
-- arrays of rows, heads as an object by id, which costs half; NULL is an empty list. contents holds all new contents end
-- to end, each row says where its own lies. Temporary: made again on the writer's connection at each start, so it is code
-- and no part of the stored schema.

CREATE TEMP VIEW work AS
SELECT 0 AS stamp, 0 AS now_ms, 0 AS new_users, 0 AS new_conversations, 0 AS new_directs, 0 AS new_members,
       0 AS new_messages, 0 AS contents, 0 AS new_mentions, 0 AS new_own, 0 AS heads, 0 AS listed, 0 AS marks, 0 AS probe;

CREATE TEMP TRIGGER commit_work INSTEAD OF INSERT ON work
BEGIN
    INSERT INTO users (id, name)
    SELECT j.value ->> 0, j.value ->> 1 FROM json_each(NEW.new_users) AS j;

    INSERT INTO conversations (id, public_id, kind, creator, head, changed, changed_at)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, 0, NEW.stamp, NEW.now_ms
    FROM json_each(NEW.new_conversations) AS j;

    INSERT INTO directs (user_a, user_b, conversation)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2 FROM json_each(NEW.new_directs) AS j;

    INSERT INTO members (conversation, user, delivered, read, listed)
    SELECT j.value ->> 0, j.value ->> 1, 0, 0, iif(j.value ->> 2, NEW.stamp, 0) FROM json_each(NEW.new_members) AS j;

    INSERT INTO messages (conversation, seq, sender, client_id, stamp, content, sent_at)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3, NEW.stamp,
           coalesce(substr(NEW.contents, j.value ->> 4, j.value ->> 5), x''), NEW.now_ms
    FROM json_each(NEW.new_messages) AS j;

    INSERT INTO mentions (conversation, user, seq)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2 FROM json_each(NEW.new_mentions) AS j;

    INSERT INTO own_unread (conversation, user, seq)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2 FROM json_each(NEW.new_own) AS j;

    UPDATE conversations SET head = j.value, changed = NEW.stamp, changed_at = NEW.now_ms
    FROM json_each(NEW.heads) AS j WHERE conversations.id = CAST(j.key AS INTEGER);

    UPDATE members SET listed = NEW.stamp WHERE conversation IN (SELECT value FROM json_each(NEW.listed));

    -- Always an update. Written so because it looks each row up once, and UPDATE FROM three times.
    INSERT INTO members (conversation, user, delivered, read)
    SELECT j.value ->> 0, j.value ->> 1, j.value ->> 2, j.value ->> 3 FROM json_each(NEW.marks) AS j WHERE true
    ON CONFLICT (conversation, user) DO UPDATE SET delivered = excluded.delivered, read = excluded.read;

    UPDATE probe SET stamp = NEW.stamp WHERE NEW.probe;
END;
