SELECT * FROM per_label ORDER BY label
