-- A page of a user's conversations costs by its length, not by how many there are.

-- listed: a stamp near that of the newest change, at most it and less than LAG of plan.py below it; 0 while the
-- conversation is not shown to this member. So a message seldom writes to the index below, and a page that goes by
-- `changed` is found in a narrow range of it.
ALTER TABLE members ADD COLUMN listed INTEGER NOT NULL DEFAULT 0;

UPDATE members SET listed = c.changed
FROM conversations AS c WHERE c.id = members.conversation AND (c.head > 0 OR c.creator = members.user);

DROP INDEX members_by_user;

CREATE INDEX members_by_listed ON members (user, listed);
