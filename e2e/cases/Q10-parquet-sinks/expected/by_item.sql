SELECT * FROM by_item ORDER BY item
