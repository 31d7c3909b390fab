SELECT id, at, v FROM rows_all ORDER BY at, id, v
