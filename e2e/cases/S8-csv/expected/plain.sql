SELECT id, name, price, ok, day, ratio FROM plain_rows ORDER BY id
