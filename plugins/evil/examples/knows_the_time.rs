//! A transform that wants the time: asked again tomorrow, it would answer otherwise.

use std::time::SystemTime;

use braid_guest::clock;

braid_evil::crime!(batch => match clock::now() > SystemTime::UNIX_EPOCH {
    true => Ok(batch),
    false => Err("no time".into()),
});
