SELECT * FROM overall
