SELECT * FROM by_shop ORDER BY shop
