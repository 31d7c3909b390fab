//! Records that are posted while one start of a query follows another: they wait at the door, and are neither refused nor lost.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::braid::{TERMINATED, eventually};
use crate::http;
use crate::swap::{Bench, POSTED, rows};

/// The next start is held up for so long, behind its commit and before its sources are open.
const HELD_UP: &str = "swap::committed=sleep(3000)";
/// Somebody who posted meanwhile has waited at least so long.
const WAITED: Duration = Duration::from_secs(1);

/// A post, and what became of it.
struct Post {
    number: u64,
    status: u16,
    body: String,
    took: Duration,
}

/// Swaps a plugin while so many clients post, each one record after the other.
fn posted_during_a_swap(clients: usize) -> Vec<Post> {
    let bench = Bench::new(POSTED, "lambda");
    let bench = Bench { river: bench.river.clone().env("FAILPOINTS", HELD_UP), home: bench.home };
    let mut running = bench.river.up();
    let address = running.address();
    let (over, number) = (AtomicBool::new(false), AtomicU64::new(0));
    let posts = std::thread::scope(|scope| {
        let client = || {
            let mut posts = vec![];
            while !over.load(Ordering::Relaxed) {
                let number = number.fetch_add(1, Ordering::Relaxed);
                let record = format!("{{\"n\": {number}, \"k\": \"a\"}}\n");
                let began = Instant::now();
                let answer = http::ingest(&address, "events", record.as_bytes()).expect("an answer");
                posts.push(Post { number, status: answer.status, body: answer.body, took: began.elapsed() });
            }
            posts
        };
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(client)).collect();
        bench.swapped(&address, "tag", "tag2", &["--canary-rows", "0"]);
        over.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect::<Vec<Post>>()
    });
    assert!(posts.iter().any(|post| post.took >= WAITED), "nobody waited at the door");
    let mut taken: Vec<u64> = posts.iter().filter(|post| post.status == 200).map(|post| post.number).collect();
    taken.sort_unstable();
    eventually("all that was acknowledged is there, once", || {
        let mut found: Vec<u64> = rows(&address, &format!("SELECT n FROM tags LIMIT {}", taken.len() + 1))
            .iter()
            .map(|row| row.parse().expect("a number"))
            .collect();
        found.sort_unstable();
        if found == taken { Ok(()) } else { Err(format!("{} of {}\n{}", found.len(), taken.len(), running.said())) }
    });
    assert_eq!(running.stop().code(), Some(TERMINATED));
    posts
}

#[test]
fn a_record_that_is_posted_during_a_swap_waits_and_is_taken_once() {
    for post in posted_during_a_swap(8) {
        assert_eq!(post.status, 200, "{}: {}", post.number, post.body);
    }
}

#[test]
fn more_than_can_wait_are_told_so() {
    let posts = posted_during_a_swap(80);
    let refused: Vec<&Post> = posts.iter().filter(|post| post.status != 200).collect();
    assert!(!refused.is_empty(), "64 wait, and 80 posted");
    for post in refused {
        assert_eq!(post.status, 503, "{}", post.body);
        assert!(post.body.contains("64 requests are at work; try again later"), "{}", post.body);
    }
}
