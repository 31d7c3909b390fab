;; After a marked record it gives the host room where no record may begin.
(func $realloc (param $old i32) (param $old_bytes i32) (param $align i32) (param $bytes i32) (result i32)
  (i32.add (global.get $armed) (call $bump (local.get $align) (local.get $bytes))))
(func $marked (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (global.set $armed (i32.const 1))
  (call $passed (local.get $rows) (local.get $columns) (local.get $count)))
