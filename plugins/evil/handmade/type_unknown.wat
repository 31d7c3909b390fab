;; A column of a type that there is not.
(func $marked (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (i32.store8 (i32.add (local.get $columns) (i32.const 8)) (i32.const 99))
  (call $passed (local.get $rows) (local.get $columns) (local.get $count)))
