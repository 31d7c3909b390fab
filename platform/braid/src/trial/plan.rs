//! Which runs a test has: every layout, every cut, with and without bases, and a crash at every step.

use std::collections::BTreeSet;

use super::case::Case;
use super::run::{How, Outcome, Stage};
use super::world::Crash;

/// So many places of a test are cut, each alone.
pub const CUTS_MAX: usize = 100;
/// A crash is tried at so many steps of one way to cut.
pub const CRASHES_MAX: usize = 100;

/// How far a test goes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub cuts: usize,
    pub crashes: usize,
}

impl Bounds {
    pub const USUAL: Self = Self { cuts: CUTS_MAX, crashes: CRASHES_MAX };
    pub const NONE: Self = Self { cuts: usize::MAX, crashes: usize::MAX };
}

/// Runs, and what was left out of them.
#[derive(Debug, Default)]
pub struct Runs {
    pub hows: Vec<How>,
    pub left_out: Option<String>,
}

/// The numbers of records after which an epoch may end where none has to.
fn places(case: &Case) -> Vec<usize> {
    let ends: BTreeSet<usize> = case.steps.iter().map(|step| step.end).collect();
    (1..case.records.len()).filter(|place| !ends.contains(place)).collect()
}

/// At most so many of a list, evenly spread, with the first and the last.
fn spread<T: Clone>(all: &[T], most: usize) -> Vec<T> {
    if all.len() <= most {
        return all.to_vec();
    }
    (0..most).map(|at| all[at * (all.len() - 1) / (most - 1).max(1)].clone()).collect()
}

/// The runs without a crash: nothing cut, cut at each place, and cut at every place; bases in between or not.
pub fn cuts(case: &Case, stages: &[Stage], bounds: Bounds) -> Runs {
    let places = places(case);
    let single = spread(&places, bounds.cuts);
    let mut ways: Vec<BTreeSet<usize>> = vec![BTreeSet::new()];
    ways.extend(single.iter().map(|place| BTreeSet::from([*place])));
    if places.len() > 1 {
        ways.push(places.iter().copied().collect());
    }
    let mut hows = vec![];
    for stage in 0..stages.len() {
        for cuts in &ways {
            for bases in [false, true] {
                // Of one epoch the base in the end is the only one.
                if !bases || !cuts.is_empty() || case.steps.len() > 1 {
                    hows.push(How { stage, cuts: cuts.clone(), bases, crash: None });
                }
            }
        }
    }
    let left_out =
        (single.len() < places.len()).then(|| format!("cuts at {} of {} places", single.len(), places.len()));
    Runs { hows, left_out }
}

/// The runs with a crash before and after each step of two that went well: one with as few epochs as there can be, and
/// one with as many, and bases.
pub fn crashes(case: &Case, done: &[(How, Outcome)], bounds: Bounds) -> Runs {
    let most = places(case).len();
    let mut runs = Runs::default();
    for (how, outcome) in done {
        let least_epochs = how.cuts.is_empty() && !how.bases;
        let most_epochs = how.cuts.len() == most && how.bases;
        if !least_epochs && !most_epochs {
            continue;
        }
        let all: Vec<u64> = (1..=outcome.steps).collect();
        let steps = spread(&all, bounds.crashes);
        if steps.len() < all.len() {
            let left_out = format!("crashes at {} of {} steps", steps.len(), all.len());
            runs.left_out = Some(runs.left_out.map_or(left_out.clone(), |before| match before.contains(&left_out) {
                true => before,
                false => format!("{before}, {left_out}"),
            }));
        }
        for step in steps {
            for done in [false, true] {
                runs.hows.push(How { crash: Some(Crash { step, done }), ..how.clone() });
            }
        }
    }
    runs
}

/// A run in words.
pub fn words(how: &How, case: &Case, stages: &[Stage], died_at: Option<&str>) -> String {
    let mut words = format!("layout {}", stages[how.stage].layout());
    let after = |place: usize| case.records.get(place - 1);
    words += &match how.cuts.iter().copied().collect::<Vec<_>>().as_slice() {
        [] if case.steps.len() > 1 => ", an epoch for each step".to_owned(),
        [] => ", one epoch".to_owned(),
        [place] => match after(*place) {
            Some(record) => format!(", cut after the record of `{}` in line {}", record.source, record.line),
            None => String::new(),
        },
        _ => ", an epoch for each record".to_owned(),
    };
    if how.bases {
        words += ", a base after each epoch";
    }
    if let Some(Crash { step, done }) = how.crash {
        let when = if done { "after" } else { "before" };
        words += &format!(", killed {when} write {step}");
        words += &died_at.map(|name| format!(" ({name})")).unwrap_or_default();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_spread_has_both_ends() {
        let all: Vec<usize> = (0..10).collect();
        assert_eq!(spread(&all, 10), all);
        assert_eq!(spread(&all, 4), [0, 3, 6, 9]);
        assert_eq!(spread(&all, 1), [0]);
    }
}
