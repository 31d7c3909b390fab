SELECT * FROM semi_join
