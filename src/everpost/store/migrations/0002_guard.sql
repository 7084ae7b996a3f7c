-- What the guard says of each message it has seen.

ALTER TABLE message
    ADD COLUMN judgement text,                  -- guard.model.Judgement; none: the guard has not seen it
    ADD COLUMN verdict   bytea,                 -- guard.model.Verdict, JSON
    ADD COLUMN cuts      integer[];             -- spans of the original that delivery copies leave out (guard.copies)
