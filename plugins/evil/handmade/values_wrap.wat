;; A column whose values begin near the end of all addresses and go on at their beginning.
(func $marked (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (i32.store (i32.add (local.get $columns) (i32.const 80)) (i32.const -8))
  (i32.store (i32.add (local.get $columns) (i32.const 84)) (i32.const 16))
  (call $passed (local.get $rows) (local.get $columns) (local.get $count)))
