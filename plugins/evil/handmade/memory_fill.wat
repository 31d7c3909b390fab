;; Has the machine fill all the memory that it may have, in one instruction at a time.
(func $marked (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (drop (memory.grow (i32.const 1000)))
  (loop $again
    (memory.fill (i32.const 0x20000) (i32.const 1) (i32.const 65000000))
    (br $again))
  (unreachable))
