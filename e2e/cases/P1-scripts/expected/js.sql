SELECT * FROM from_js ORDER BY id, tag
