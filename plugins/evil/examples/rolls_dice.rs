//! A transform that wants randomness: asked again, it would answer otherwise.

use braid_guest::random;

braid_evil::crime!(batch => match random::bytes(1).as_slice() {
    [_] => Ok(batch),
    _ => Err("no luck".into()),
});
