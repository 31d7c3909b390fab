SELECT * FROM how_many
