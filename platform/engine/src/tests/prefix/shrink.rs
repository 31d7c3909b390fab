//! Smaller cases that fail too.

use super::Case;
use super::data::Data;
use super::query::{Aggregate, Query, Test};

/// The smallest case that is found, of those that `fails` says fail.
pub fn shrink(mut case: Case, fails: impl Fn(&Case) -> bool) -> Case {
    loop {
        let smaller = candidates(&case).find(|smaller| smaller.data.valid() && fails(smaller));
        match smaller {
            Some(smaller) => case = smaller,
            None => return case,
        }
    }
}

fn candidates(case: &Case) -> impl Iterator<Item = Case> {
    let of_data = data(&case.data).into_iter().map(|data| Case { query: case.query.clone(), data });
    let of_query = query(&case.query).into_iter().map(|query| Case { query, data: case.data.clone() });
    of_data.chain(of_query)
}

fn data(data: &Data) -> Vec<Data> {
    let mut smaller = vec![];
    if data.troubles.iter().any(|trouble| *trouble != 0) {
        smaller.push(Data { troubles: vec![0; data.troubles.len()], ..data.clone() });
    }
    for (number, trouble) in data.troubles.iter().enumerate() {
        if *trouble != 0 {
            let mut less = data.clone();
            less.troubles[number] = 0;
            smaller.push(less);
        }
    }
    for number in 0..data.ends.len() - 1 {
        let mut less = data.clone();
        less.ends.remove(number);
        less.troubles.remove(number);
        smaller.push(less);
    }
    let mut length = data.rows.len() / 2;
    while length > 0 {
        for from in (0..data.rows.len()).step_by(length) {
            let gone = from..(from + length).min(data.rows.len());
            let mut less = data.clone();
            less.rows.drain(gone.clone());
            for end in &mut less.ends {
                *end -= (*end).clamp(gone.start, gone.end) - gone.start;
            }
            smaller.push(less);
        }
        length /= 2;
    }
    smaller
}

fn query(query: &Query) -> Vec<Query> {
    let rebuilt = |from: &Query, wrap: &dyn Fn(Box<Query>) -> Query| {
        self::query(from)
            .into_iter()
            .filter(|less| less.columns() == from.columns())
            .map(|less| wrap(Box::new(less)))
            .collect::<Vec<_>>()
    };
    match query.clone() {
        Query::Input(_) => vec![],
        Query::Select { from, columns, filter } => {
            let mut smaller = vec![];
            if from.columns() == query.columns() {
                smaller.push((*from).clone());
            }
            let with = |filter| Query::Select { from: from.clone(), columns: columns.clone(), filter };
            smaller.extend(filter.iter().map(|_| with(None)));
            smaller.extend(filter.iter().flat_map(parts).map(|part| with(Some(part))));
            smaller.extend(rebuilt(&from, &|from| Query::Select {
                from,
                columns: columns.clone(),
                filter: filter.clone(),
            }));
            smaller
        }
        Query::Union(one, _) => vec![*one],
        Query::Distinct(of) => rebuilt(&of, &Query::Distinct),
        Query::Teams { from, outer } => rebuilt(&from, &|from| Query::Teams { from, outer }),
        Query::Join { kind, left, right, near, more } => {
            let mut smaller = vec![];
            if more.is_some() {
                smaller.push(Query::Join { kind, left: left.clone(), right: right.clone(), near, more: None });
            }
            smaller.extend(rebuilt(&left, &|left| Query::Join { kind, left, right: right.clone(), near, more }));
            smaller.extend(rebuilt(&right, &|right| Query::Join { kind, left: left.clone(), right, near, more }));
            smaller
        }
        Query::Group { from, keys, cut, aggregates, having } => {
            let mut smaller = vec![];
            let with = |keys: &[usize], aggregates: &[Aggregate], having| {
                let (keys, aggregates) = (keys.to_vec(), aggregates.to_vec());
                Query::Group { from: from.clone(), keys, cut, aggregates, having }
            };
            if having.is_some() {
                smaller.push(with(&keys, &aggregates, None));
            }
            for number in 0..keys.len() {
                let mut less = keys.clone();
                less.remove(number);
                smaller.push(with(&less, &aggregates, having));
            }
            for number in 0..aggregates.len() {
                let mut less = aggregates.clone();
                less.remove(number);
                if !less.is_empty() {
                    smaller.push(with(&keys, &less, having));
                }
            }
            let again = |from| Query::Group { from, keys: keys.clone(), cut, aggregates: aggregates.clone(), having };
            smaller.extend(rebuilt(&from, &again));
            smaller
        }
        Query::First { group, descends, rows } => {
            let mut smaller = vec![(*group).clone()];
            smaller.extend(rebuilt(&group, &|group| Query::First { group, descends: descends.clone(), rows }));
            smaller
        }
    }
}

fn parts(test: &Test) -> Vec<Test> {
    match test {
        Test::And(one, other) | Test::Or(one, other) => vec![(**one).clone(), (**other).clone()],
        Test::Not(of) => vec![(**of).clone()],
        _ => vec![],
    }
}
