;; Takes table elements until there are none.
(table $table 0 funcref)
(func $marked (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (loop $more
    (drop (table.grow $table (ref.null func) (i32.const 10000)))
    (br $more))
  (unreachable))
