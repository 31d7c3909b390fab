SELECT id, text, big, amount, ok, x, f, i FROM rows ORDER BY id
