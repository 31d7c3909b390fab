;; More columns than its memory holds.
(func $marked (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (call $passed (local.get $rows) (local.get $columns) (i32.const 0x0fffffff)))
