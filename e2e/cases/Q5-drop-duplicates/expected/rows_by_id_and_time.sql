SELECT id, at, v FROM rows_by_id_and_time ORDER BY at, id, v
