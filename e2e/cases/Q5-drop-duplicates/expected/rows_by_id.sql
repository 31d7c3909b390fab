SELECT id, at, v FROM rows_by_id ORDER BY at, id, v
