//! Random queries: selections, aggregates, windows, sessions, duplicates, joins, and chains of them.

use super::Random;
use super::query::{Aggregate, Cut, Expr, Join, Near, Query, Test, Type};

/// Any query that a view can be.
pub fn query(random: &mut Random) -> Query {
    match random.below(20) {
        0..3 => rows(random),
        3 => {
            let of = rows(random);
            Query::Distinct(Box::new(some_columns(random, of)))
        }
        4..10 => {
            let from = recent_rows(random);
            group(random, from, false)
        }
        10..12 => {
            let from = rows(random);
            let Query::Group { from, keys, cut: _, aggregates, having } = group(random, from, false) else {
                unreachable!("it is a group");
            };
            let group = Query::Group { from, keys, cut: None, aggregates, having };
            let descends = group.columns().iter().map(|_| random.percent(50)).collect();
            Query::First { group: Box::new(group), descends, rows: random.between(1, 4) as usize }
        }
        12..14 => {
            // DISTINCT below an aggregate.
            let of = recent_rows(random);
            let of = some_columns(random, of);
            group(random, Query::Distinct(Box::new(of)), false)
        }
        14 => {
            let from = rows(random);
            let of = group(random, from, false);
            select(random, of)
        }
        _ => {
            let mut below = recent_rows(random);
            for _ in 0..random.between(1, 2) {
                below = group(random, below, true);
                if random.percent(30) {
                    below = select(random, below);
                }
            }
            group(random, below, false)
        }
    }
}

/// Rows for a window, or for an operator that lets go of what is old: pairs of any age would be too late for it.
fn recent_rows(random: &mut Random) -> Query {
    loop {
        let rows = rows(random);
        if !rows.has(|query| matches!(query, Query::Join { near: Near::Any, .. })) {
            return rows;
        }
    }
}

/// Rows as they are, or joined; often through a selection.
fn rows(random: &mut Random) -> Query {
    let input =
        |random: &mut Random| Query::Input(random.pick(&["events", "events", "events", "once", "within", "ever"]));
    let plain = |random: &mut Random| Query::Input(random.pick(&["events", "other"]));
    let mut rows = match random.below(12) {
        0 => Query::Union(Box::new(narrow(random, "events")), Box::new(narrow(random, "other"))),
        1..3 => Query::Teams { from: Box::new(plain(random)), outer: random.percent(50) },
        3..6 => join(random),
        6..9 => plain(random),
        _ => input(random),
    };
    if random.percent(50) {
        rows = select(random, rows);
    }
    rows
}

/// One condition only: where two contradict each other, it is known before any row comes that nothing has a partner.
fn narrow(random: &mut Random, input: &'static str) -> Query {
    let from = Query::Input(input);
    let filter = random.percent(50).then(|| test(random, &from, 0));
    Query::Select { from: Box::new(from), columns: (0..4).map(Expr::Column).collect(), filter }
}

fn join(random: &mut Random) -> Query {
    let kind = random.pick(&[Join::Inner, Join::Inner, Join::Left, Join::Right, Join::Full, Join::Semi]);
    let near = match (kind, random.below(4)) {
        (Join::Inner, 0) => Near::Any,
        (_, 1) => Near::SameWindow(random.pick(&[2, 5])),
        _ => Near::Range { before: random.pick(&[0, 0, 2]), after: random.between(0, 6) },
    };
    let side = |random: &mut Random, input| {
        if random.percent(30) { narrow(random, input) } else { Query::Input(input) }
    };
    let left = random.pick(&["events", "events", "once"]);
    let (left, right) = (Box::new(side(random, left)), Box::new(side(random, "other")));
    Query::Join { kind, left, right, near, more: random.percent(20).then(|| random.between(0, 5)) }
}

/// The same rows with other numbers and texts, and perhaps fewer of them; times and windows stay.
fn select(random: &mut Random, from: Query) -> Query {
    let types = from.columns();
    let columns = types.iter().enumerate().map(|(index, of)| match of {
        Type::Int if random.percent(40) => number(random, &from, index, 1),
        Type::Text if random.percent(30) => match random.below(2) {
            0 => Expr::Upper(Box::new(Expr::Column(index))),
            _ => Expr::Concat(Box::new(Expr::Column(index)), "x"),
        },
        _ => Expr::Column(index),
    });
    let columns = columns.collect();
    let filter = random.percent(60).then(|| test(random, &from, 2));
    Query::Select { from: Box::new(from), columns, filter }
}

/// Some of the columns, of which many rows are equal.
fn some_columns(random: &mut Random, from: Query) -> Query {
    let types = from.columns();
    let mut chosen: Vec<usize> = (1..types.len()).filter(|_| random.percent(40)).collect();
    if chosen.is_empty() {
        chosen.push(types.len() - 1);
    }
    Query::Select { from: Box::new(from), columns: chosen.into_iter().map(Expr::Column).collect(), filter: None }
}

fn columns_of(from: &Query, wanted: &[Type]) -> Vec<usize> {
    let types = from.columns();
    (0..types.len()).filter(|index| wanted.contains(&types[*index])).collect()
}

fn number(random: &mut Random, from: &Query, index: usize, depth: u32) -> Expr {
    let column = Box::new(Expr::Column(index));
    match random.below(5) {
        0 => Expr::Plus(column, random.between(-3, 3)),
        1 => Expr::Times(column, random.between(-2, 3)),
        2 => Expr::Coalesce(column, random.between(-1, 4)),
        3 if depth > 0 => Expr::Case(Box::new(test(random, from, depth - 1)), column, random.between(-1, 4)),
        _ => *column,
    }
}

fn test(random: &mut Random, from: &Query, depth: u32) -> Test {
    let (numbers, texts) = (columns_of(from, &[Type::Int]), columns_of(from, &[Type::Text]));
    let all: Vec<usize> = (0..from.columns().len()).collect();
    match random.below(if depth > 0 { 9 } else { 6 }) {
        0 | 1 if !numbers.is_empty() => {
            let index = random.pick(&numbers);
            Test::Less(number(random, from, index, 0), random.between(-1, 8))
        }
        2 if !texts.is_empty() => Test::Equals(Expr::Column(random.pick(&texts)), random.pick(&["a", "b", "red"])),
        3 if !texts.is_empty() => Test::In(Expr::Column(random.pick(&texts)), random.pick(&[["a", "c"], ["b", "ax"]])),
        4 if !numbers.is_empty() => Test::Even(Expr::Column(random.pick(&numbers))),
        6 => Test::And(Box::new(test(random, from, depth - 1)), Box::new(test(random, from, depth - 1))),
        7 => Test::Or(Box::new(test(random, from, depth - 1)), Box::new(test(random, from, depth - 1))),
        8 => Test::Not(Box::new(test(random, from, depth - 1))),
        _ => Test::Null(Expr::Column(random.pick(&all))),
    }
}

/// A group of rows; one that `waits` has a window.
fn group(random: &mut Random, from: Query, waits: bool) -> Query {
    let timed = columns_of(&from, &[Type::Time, Type::Window]);
    let waits = waits && !timed.is_empty();
    let cut = match (timed.is_empty(), waits || random.percent(50)) {
        (false, true) => Some(cut(random, &from, timed[0])),
        _ => None,
    };
    let possible = columns_of(&from, &[Type::Int, Type::Text, Type::Window]);
    let mut keys: Vec<usize> =
        possible.into_iter().filter(|key| random.percent(30) && cut.is_none_or(|cut| cut.column() != *key)).collect();
    keys.truncate(2);
    let aggregates = (0..random.between(1, 3)).map(|_| aggregate(random, &from)).collect();
    Query::Group {
        from: Box::new(from),
        keys,
        cut,
        aggregates,
        having: random.percent(15).then(|| random.between(1, 3)),
    }
}

fn cut(random: &mut Random, from: &Query, of: usize) -> Cut {
    let of_window = from.columns()[of] == Type::Window;
    match random.below(if of_window { 2 } else { 4 }) {
        0 | 1 => {
            let length = if of_window { random.pick(&[20, 60]) } else { random.pick(&[2, 5, 10]) };
            Cut::Spans { of, length, slide: length, shift: if of_window { 0 } else { random.pick(&[0, 0, 1]) } }
        }
        2 => Cut::Spans { of, length: 10, slide: random.pick(&[2, 3, 5]), shift: random.pick(&[0, 0, 1]) },
        _ => Cut::Session { of, gap: random.between(1, 5) },
    }
}

impl Cut {
    fn column(&self) -> usize {
        match self {
            Cut::Spans { of, .. } | Cut::Session { of, .. } => *of,
        }
    }
}

fn aggregate(random: &mut Random, from: &Query) -> Aggregate {
    let (numbers, texts) = (columns_of(from, &[Type::Int]), columns_of(from, &[Type::Text]));
    let one = |random: &mut Random| {
        let index = random.pick(&numbers);
        number(random, from, index, 1)
    };
    match random.below(10) {
        0 | 1 => Aggregate::Count,
        2 => Aggregate::CountIf(test(random, from, 1)),
        3 if !texts.is_empty() => Aggregate::CountDistinct(Expr::Column(random.pick(&texts))),
        4 if !texts.is_empty() => Aggregate::Max(Expr::Column(random.pick(&texts)), Type::Text),
        5 if !numbers.is_empty() => Aggregate::CountOf(one(random)),
        6 if !numbers.is_empty() => Aggregate::Avg(one(random)),
        7 if !numbers.is_empty() => Aggregate::Min(one(random), Type::Int),
        8 if !numbers.is_empty() => Aggregate::Max(one(random), Type::Int),
        _ if !numbers.is_empty() => Aggregate::Sum(one(random)),
        _ => Aggregate::Count,
    }
}
