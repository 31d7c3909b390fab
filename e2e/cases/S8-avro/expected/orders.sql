SELECT id, coalesce(customer, '') AS customer, price, coalesce(note, '') AS note FROM orders_seen ORDER BY id
