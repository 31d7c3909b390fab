SELECT id, at, v FROM rows_within ORDER BY at, id, v
