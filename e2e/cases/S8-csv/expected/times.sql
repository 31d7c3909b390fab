SELECT id, second(at) AS s FROM plain_rows WHERE at IS NOT NULL ORDER BY id
