;; Is a million table elements large from the start.
(table $table 1000000 funcref)
