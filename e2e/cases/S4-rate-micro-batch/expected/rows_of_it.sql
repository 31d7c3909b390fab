SELECT value, unix_millis(timestamp) AS at FROM rows_of_it ORDER BY value
