;; An honest transform by hand: rows go out as they came in. A crime puts functions of its own in the place of some of these.
;; The text `(; crime ;)` is where it goes; a definition here whose name the crime has too is left out.
(module
(; crime ;)
(memory $memory 2)
(export "memory" (memory $memory))
;; Where the next piece of memory is.
(global $next (mut i32) (i32.const 4096))
;; Something to remember from one call to the next.
(global $armed (mut i32) (i32.const 0))

(func $realloc (param $old i32) (param $old_bytes i32) (param $align i32) (param $bytes i32) (result i32)
  (call $bump (local.get $align) (local.get $bytes)))

(func $bump (param $align i32) (param $bytes i32) (result i32)
  (local $at i32)
  (local.set $at (i32.and
    (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
    (i32.sub (i32.const 0) (local.get $align))))
  (global.set $next (i32.add (local.get $at) (local.get $bytes)))
  (local.get $at))

(func $forever (loop $again (br $again)))

;; A result's place: it went well, with so many rows, and columns there.
(func $passed (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 0))
  (i32.store (i32.const 1028) (local.get $rows))
  (i32.store (i32.const 1032) (local.get $columns))
  (i32.store (i32.const 1036) (local.get $count))
  (i32.const 1024))

;; Whether the bytes of the second column hold the word `evil`.
(func $is_marked (param $columns i32) (result i32)
  (local $at i32) (local $end i32)
  (local.set $at (i32.load (i32.add (local.get $columns) (i32.const 80))))
  (local.set $end (i32.add (local.get $at) (i32.load (i32.add (local.get $columns) (i32.const 84)))))
  (block $none
    (loop $next
      (br_if $none (i32.gt_u (i32.add (local.get $at) (i32.const 4)) (local.get $end)))
      (if (i32.eq (i32.load (local.get $at)) (i32.const 0x6c697665)) (then (return (i32.const 1))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br $next)))
  (i32.const 0))

(func $marked (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (call $passed (local.get $rows) (local.get $columns) (local.get $count)))

(func $described (param $fields i32) (param $count i32) (result i32)
  (i32.store8 (i32.const 1024) (i32.const 0))
  (i32.store (i32.const 1028) (local.get $fields))
  (i32.store (i32.const 1032) (local.get $count))
  (i32.const 1024))

(func $done (param i32) (global.set $next (i32.const 4096)))

(func $apply (param $rows i32) (param $columns i32) (param $count i32) (result i32)
  (if (result i32) (call $is_marked (local.get $columns))
    (then (call $marked (local.get $rows) (local.get $columns) (local.get $count)))
    (else (call $passed (local.get $rows) (local.get $columns) (local.get $count)))))

(export "cabi_realloc" (func $realloc))
(export "braid:plugin/transforms@0.1.0#describe" (func $described))
(export "braid:plugin/transforms@0.1.0#apply" (func $apply))
(export "cabi_post_braid:plugin/transforms@0.1.0#describe" (func $done))
(export "cabi_post_braid:plugin/transforms@0.1.0#apply" (func $done))
)
