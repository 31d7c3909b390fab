//! What a query answers, by the plainest means: every relation is a list of rows, made anew from all rows so far.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::data::{Data, Row};
use super::query::{Aggregate, Cut, Expr, Join, Near, Query, TEAMS, Test};

/// One cell. Nulls are equal, and least.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    Null,
    Int(i64),
    /// A float that is exact in hundredths of its printed digits: kept as its bits' order.
    Float(Exact),
    Text(String),
    /// Milliseconds.
    Time(i64),
    /// Start and end in milliseconds.
    Window(i64, i64),
}

/// A finite float, ordered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Exact(pub f64);

impl Eq for Exact {}

impl PartialOrd for Exact {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Exact {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl fmt::Display for Value {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => Ok(()),
            Value::Int(number) => write!(to, "{number}"),
            Value::Float(Exact(number)) => write!(to, "{number:?}"),
            Value::Text(text) => write!(to, "{text}"),
            Value::Time(ms) => write!(to, "{ms}"),
            Value::Window(start, end) => write!(to, "{start}..{end}"),
        }
    }
}

/// A row of cells.
pub type Cells = Vec<Value>;

/// The rows until an epoch, and the watermark after it.
struct World<'a> {
    rows: &'a [Row],
    watermark: Option<i64>,
}

/// The answer after an epoch, sorted, cells separated by commas.
pub fn answer(query: &Query, data: &Data, epoch: usize) -> Vec<String> {
    let world = World { rows: &data.rows[..data.ends[epoch]], watermark: data.watermark(epoch) };
    lines(world.rows_of(query, true))
}

/// Rows as sorted lines.
pub fn lines(rows: Vec<Cells>) -> Vec<String> {
    let line = |row: Cells| row.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
    let mut lines: Vec<String> = rows.into_iter().map(line).collect();
    lines.sort();
    lines
}

impl World<'_> {
    fn passed(&self, instant: i64) -> bool {
        self.watermark.is_some_and(|watermark| instant <= watermark)
    }

    /// `last` where nothing but a view's last part follows: groups are then told as they are, not when they are final.
    fn rows_of(&self, query: &Query, last: bool) -> Vec<Cells> {
        match query {
            Query::Input(name) => self.input(name),
            Query::Select { from, columns, filter } => {
                let mut rows = self.rows_of(from, last);
                rows.retain(|row| filter.as_ref().is_none_or(|test| test.holds(row) == Some(true)));
                rows.iter().map(|row| columns.iter().map(|column| column.value(row)).collect()).collect()
            }
            Query::Union(one, other) => [self.rows_of(one, false), self.rows_of(other, false)].concat(),
            Query::Distinct(of) => {
                let rows: BTreeSet<Cells> = self.rows_of(of, false).into_iter().collect();
                rows.into_iter().collect()
            }
            Query::Teams { from, outer } => {
                let mut joined = vec![];
                for row in self.rows_of(from, false) {
                    let name = &row[from.name_column()];
                    let mine = TEAMS.iter().filter(|(of, _)| *name == Value::Text((*of).into()));
                    let mut teams: Vec<Value> = mine.map(|(_, team)| Value::Text((*team).into())).collect();
                    if teams.is_empty() && *outer {
                        teams.push(Value::Null);
                    }
                    joined.extend(teams.into_iter().map(|team| [row.clone(), vec![team]].concat()));
                }
                joined
            }
            Query::Join { kind, left, right, near, more } => self.join(*kind, left, right, *near, *more),
            Query::Group { from, keys, cut, aggregates, having } => {
                let mut groups = self.groups(self.rows_of(from, false), keys, *cut);
                if !last {
                    groups.retain(|key, _| matches!(key.last(), Some(Value::Window(_, end)) if self.passed(*end)));
                }
                groups.retain(|_, rows| having.is_none_or(|least| rows.len() as i64 >= least));
                let answered = groups.into_iter().map(|(mut key, rows)| {
                    key.extend(aggregates.iter().map(|aggregate| aggregate.of_rows(&rows)));
                    key
                });
                answered.collect()
            }
            Query::First { group, descends, rows } => {
                let mut all = self.rows_of(group, last);
                all.sort_by(|one, other| {
                    let each = one.iter().zip(other).zip(descends);
                    let each = each.map(|((one, other), down)| if *down { other.cmp(one) } else { one.cmp(other) });
                    each.fold(Ordering::Equal, Ordering::then)
                });
                all.truncate(*rows);
                all
            }
        }
    }

    fn input(&self, name: &str) -> Vec<Cells> {
        let mut seen = BTreeSet::new();
        let input = usize::from(name == "other");
        let mut first = |row: &Row| match name {
            "once" => seen.insert((Some(row.id), row.at, None)),
            "within" => seen.insert((Some(row.id), None, None)),
            "ever" => seen.insert((None, None, row.name)),
            _ => true,
        };
        let mine = self.rows.iter().filter(|row| row.input == input && first(row));
        let cells = |row: &Row| {
            let number = |number: Option<i64>| number.map_or(Value::Null, Value::Int);
            let name = row.name.map_or(Value::Null, |name| Value::Text(name.into()));
            vec![Value::Int(row.id), name, number(row.n), row.at.map_or(Value::Null, Value::Time)]
        };
        mine.map(cells).collect()
    }

    fn join(&self, kind: Join, left: &Query, right: &Query, near: Near, more: Option<i64>) -> Vec<Cells> {
        let (lefts, rights) = (self.rows_of(left, false), self.rows_of(right, false));
        let (name, names) = (left.name_column(), right.name_column());
        let (time, times) = (left.time_column(), right.time_column());
        let (number, numbers) = (left.number_column(), right.number_column());
        let partners = |l: &Cells, r: &Cells| {
            l[name] != Value::Null
                && l[name] == r[names]
                && match (near, &l[time], &r[times]) {
                    (Near::Any, ..) => true,
                    (Near::Range { before, after }, Value::Time(l), Value::Time(r)) => {
                        *r >= l - before * 1_000 && *r <= l + after * 1_000
                    }
                    (Near::SameWindow(length), Value::Time(l), Value::Time(r)) => {
                        l.div_euclid(length * 1_000) == r.div_euclid(length * 1_000)
                    }
                    _ => false,
                }
                && match (more, &l[number], &r[numbers]) {
                    (None, ..) => true,
                    (Some(least), Value::Int(l), Value::Int(r)) => l + r > least,
                    _ => false,
                }
        };
        // When a row without a partner is given out.
        let alone = |at: &Value, reach: i64| match (near, at) {
            (Near::SameWindow(length), Value::Time(at)) => {
                self.passed((at.div_euclid(length * 1_000) + 1) * length * 1_000)
            }
            (_, Value::Time(at)) => self.passed(at + reach * 1_000),
            _ => false,
        };
        let (before, after) = if let Near::Range { before, after } = near { (before, after) } else { (0, 0) };
        let nulls = |columns: usize| vec![Value::Null; columns];
        let mut joined = vec![];
        for l in &lefts {
            let mine: Vec<&Cells> = rights.iter().filter(|r| partners(l, r)).collect();
            match kind {
                Join::Semi => joined.extend((!mine.is_empty()).then(|| l.clone())),
                _ => joined.extend(mine.iter().map(|r| [l.clone(), (*r).clone()].concat())),
            }
            if matches!(kind, Join::Left | Join::Full) && mine.is_empty() && alone(&l[time], after) {
                joined.push([l.clone(), nulls(right.columns().len())].concat());
            }
        }
        if matches!(kind, Join::Right | Join::Full) {
            let lonely = rights.iter().filter(|r| !lefts.iter().any(|l| partners(l, r)) && alone(&r[times], before));
            joined.extend(lonely.map(|r| [nulls(left.columns().len()), r.clone()].concat()));
        }
        joined
    }

    fn groups(&self, rows: Vec<Cells>, keys: &[usize], cut: Option<Cut>) -> BTreeMap<Cells, Vec<Cells>> {
        let mut groups: BTreeMap<Cells, Vec<Cells>> = BTreeMap::new();
        if keys.is_empty() && cut.is_none() {
            groups.insert(vec![], rows);
            return groups;
        }
        let key_of = |row: &Cells| keys.iter().map(|key| row[*key].clone()).collect::<Cells>();
        if let Some(Cut::Session { of, gap }) = cut {
            return sessions(rows, key_of, of, gap * 1_000);
        }
        for row in rows {
            let windows: Vec<Option<Value>> = match cut {
                Some(Cut::Spans { of, length, slide, shift }) => {
                    let Some(at) = instant(&row[of]) else { continue };
                    spans(at, length * 1_000, slide * 1_000, shift * 1_000).map(Some).collect()
                }
                _ => vec![None],
            };
            for window in windows {
                groups.entry(key_of(&row).into_iter().chain(window).collect()).or_default().push(row.clone());
            }
        }
        groups
    }
}

/// Where a time, or a window's last instant, lies.
fn instant(value: &Value) -> Option<i64> {
    match value {
        Value::Time(at) => Some(*at),
        Value::Window(_, end) => Some(end - 1),
        _ => None,
    }
}

/// The windows that an instant is in.
fn spans(at: i64, length: i64, slide: i64, shift: i64) -> impl Iterator<Item = Value> {
    let last = (at - shift).div_euclid(slide) * slide + shift;
    let starts = (0..).map(move |back| last - back * slide).take_while(move |start| at < start + length);
    starts.map(move |start| Value::Window(start, start + length))
}

fn sessions(rows: Vec<Cells>, key_of: impl Fn(&Cells) -> Cells, of: usize, gap: i64) -> BTreeMap<Cells, Vec<Cells>> {
    let mut timed: Vec<(Cells, i64, Cells)> =
        rows.into_iter().filter_map(|row| Some((key_of(&row), instant(&row[of])?, row))).collect();
    timed.sort();
    let mut found: Vec<(Cells, i64, i64, Vec<Cells>)> = vec![];
    for (key, at, row) in timed {
        match found.last_mut() {
            Some((open, _, end, rows)) if *open == key && at <= *end => {
                *end = (*end).max(at + gap);
                rows.push(row);
            }
            _ => found.push((key, at, at + gap, vec![row])),
        }
    }
    let keyed = found.into_iter().map(|(mut key, start, end, rows)| {
        key.push(Value::Window(start, end));
        (key, rows)
    });
    keyed.collect()
}

impl Expr {
    fn value(&self, row: &Cells) -> Value {
        let number = |of: &Expr, made: &dyn Fn(i64) -> i64| match of.value(row) {
            Value::Int(number) => Value::Int(made(number)),
            _ => Value::Null,
        };
        let text = |of: &Expr, made: &dyn Fn(&str) -> String| match of.value(row) {
            Value::Text(text) => Value::Text(made(&text)),
            _ => Value::Null,
        };
        match self {
            Expr::Column(index) => row[*index].clone(),
            Expr::Plus(of, more) => number(of, &|number| number + more),
            Expr::Times(of, times) => number(of, &|number| number * times),
            Expr::Coalesce(of, other) => match of.value(row) {
                Value::Null => Value::Int(*other),
                value => value,
            },
            Expr::Case(test, yes, no) => match test.holds(row) {
                Some(true) => yes.value(row),
                _ => Value::Int(*no),
            },
            Expr::Upper(of) => text(of, &str::to_uppercase),
            Expr::Concat(of, more) => text(of, &|text| format!("{text}{more}")),
        }
    }
}

impl Test {
    /// True, false, or neither.
    fn holds(&self, row: &Cells) -> Option<bool> {
        match self {
            Test::Less(of, bound) => match of.value(row) {
                Value::Int(number) => Some(number < *bound),
                _ => None,
            },
            Test::Equals(of, text) => match of.value(row) {
                Value::Text(value) => Some(value == *text),
                _ => None,
            },
            Test::In(of, texts) => match of.value(row) {
                Value::Text(value) => Some(texts.contains(&value.as_str())),
                _ => None,
            },
            Test::Null(of) => Some(of.value(row) == Value::Null),
            Test::Even(of) => match of.value(row) {
                Value::Int(number) => Some(number % 2 == 0),
                _ => None,
            },
            Test::And(one, other) => match (one.holds(row), other.holds(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Test::Or(one, other) => match (one.holds(row), other.holds(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Test::Not(of) => of.holds(row).map(|holds| !holds),
        }
    }
}

impl Aggregate {
    fn of_rows(&self, rows: &[Cells]) -> Value {
        let values = |of: &Expr| -> Vec<Value> {
            rows.iter().map(|row| of.value(row)).filter(|value| *value != Value::Null).collect()
        };
        let numbers = |of: &Expr| -> Vec<i64> {
            values(of)
                .into_iter()
                .filter_map(|value| if let Value::Int(number) = value { Some(number) } else { None })
                .collect()
        };
        match self {
            Aggregate::Count => Value::Int(rows.len() as i64),
            Aggregate::CountIf(test) => {
                Value::Int(rows.iter().filter(|row| test.holds(row) == Some(true)).count() as i64)
            }
            Aggregate::CountOf(of) => Value::Int(values(of).len() as i64),
            Aggregate::CountDistinct(of) => Value::Int(values(of).into_iter().collect::<BTreeSet<_>>().len() as i64),
            Aggregate::Sum(of) => match &numbers(of)[..] {
                [] => Value::Null,
                numbers => Value::Int(numbers.iter().sum()),
            },
            Aggregate::Avg(of) => match &numbers(of)[..] {
                [] => Value::Null,
                numbers => Value::Float(Exact(numbers.iter().sum::<i64>() as f64 / numbers.len() as f64)),
            },
            Aggregate::Min(of, _) => values(of).into_iter().min().unwrap_or(Value::Null),
            Aggregate::Max(of, _) => values(of).into_iter().max().unwrap_or(Value::Null),
        }
    }
}
