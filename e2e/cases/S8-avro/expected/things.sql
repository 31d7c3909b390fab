SELECT id, label, small, ratio, weight, sold, lower(hex(picture)) AS picture, lower(hex(code)) AS code, color,
       array_join(transform(sizes, x -> coalesce(string(x), '-')), ';') AS sizes, stock['k1'] AS k1, maker.name AS maker,
       maker.since AS since, second.name AS second, price, day, millis, micros, uuid, either.member0 AS int,
       either.member1 AS text, number, extra
FROM things_seen ORDER BY id
