-- What a check writes after a failure: a small row may still fit on a disk that has no room for messages.
ALTER TABLE probe ADD COLUMN filler BLOB;
