SELECT * FROM from_py ORDER BY id, tag
