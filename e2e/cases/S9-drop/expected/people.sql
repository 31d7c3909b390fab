SELECT * FROM people_seen
