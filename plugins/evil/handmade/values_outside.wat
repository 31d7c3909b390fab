;; A column whose values go on after the end of its memory.
(func $marked (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (i32.store (i32.add (local.get $columns) (i32.const 84)) (i32.const 0x7fffffff))
  (call $passed (local.get $rows) (local.get $columns) (local.get $count)))
