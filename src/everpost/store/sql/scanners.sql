-- What is told of malware scanners that do not answer.

-- name: last_told
-- Which of two subjects was told last; NULL for none.
SELECT subject FROM alert WHERE kind = ANY($1::text[]) AND subject = ANY($2::text[]) ORDER BY at DESC LIMIT 1;

-- name: organisations
SELECT id FROM organisation ORDER BY id;
