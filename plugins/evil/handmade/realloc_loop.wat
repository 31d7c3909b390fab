;; Never comes back when the host wants room for texts of an odd length, as marked ones have.
(func $realloc (param $old i32) (param $old_bytes i32) (param $align i32) (param $bytes i32) (result i32)
  (if (i32.and (i32.eq (local.get $align) (i32.const 1)) (i32.eq (i32.and (local.get $bytes) (i32.const 3)) (i32.const 1)))
    (then (call $forever)))
  (call $bump (local.get $align) (local.get $bytes)))
