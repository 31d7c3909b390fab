;; An error whose text is outside of its memory.
(func $marked (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 1))
  (i32.store (i32.const 1028) (i32.const 64))
  (i32.store (i32.const 1032) (i32.const 0x7fffffff))
  (i32.const 1024))
