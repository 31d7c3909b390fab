SELECT * FROM semicolon_rows ORDER BY id
