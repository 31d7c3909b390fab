//! Queries as trees, and as SQL.

use std::fmt::Write as _;

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Int,
    Float,
    Text,
    Time,
    Window,
}

/// A value of a row.
#[derive(Debug, Clone)]
pub enum Expr {
    Column(usize),
    Plus(Box<Expr>, i64),
    Times(Box<Expr>, i64),
    Coalesce(Box<Expr>, i64),
    Case(Box<Test>, Box<Expr>, i64),
    Upper(Box<Expr>),
    Concat(Box<Expr>, &'static str),
}

/// A condition on a row.
#[derive(Debug, Clone)]
pub enum Test {
    Less(Expr, i64),
    Equals(Expr, &'static str),
    In(Expr, [&'static str; 2]),
    Null(Expr),
    Even(Expr),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
}

/// An aggregate.
#[derive(Debug, Clone)]
pub enum Aggregate {
    Count,
    CountIf(Test),
    CountOf(Expr),
    CountDistinct(Expr),
    Sum(Expr),
    Avg(Expr),
    Min(Expr, Type),
    Max(Expr, Type),
}

/// A window of time over a column that is a time or a window; lengths in seconds.
#[derive(Debug, Clone, Copy)]
pub enum Cut {
    Spans { of: usize, length: i64, slide: i64, shift: i64 },
    Session { of: usize, gap: i64 },
}

/// How two streams are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    Inner,
    Left,
    Right,
    Full,
    Semi,
}

/// When two rows with equal names are partners.
#[derive(Debug, Clone, Copy)]
pub enum Near {
    /// Always.
    Any,
    /// The right row is at most so many seconds before and after the left one.
    Range { before: i64, after: i64 },
    /// Both are in the same window of so many seconds.
    SameWindow(i64),
}

/// A relation.
#[derive(Debug, Clone)]
pub enum Query {
    /// `events`, `other`, or the streams `once`, `within` and `ever` of events without duplicates.
    Input(&'static str),
    Select {
        from: Box<Query>,
        columns: Vec<Expr>,
        filter: Option<Test>,
    },
    Union(Box<Query>, Box<Query>),
    Distinct(Box<Query>),
    /// With the static table `teams`, by name.
    Teams {
        from: Box<Query>,
        outer: bool,
    },
    Join {
        kind: Join,
        left: Box<Query>,
        right: Box<Query>,
        near: Near,
        more: Option<i64>,
    },
    Group {
        from: Box<Query>,
        keys: Vec<usize>,
        cut: Option<Cut>,
        aggregates: Vec<Aggregate>,
        having: Option<i64>,
    },
    /// The first so many rows of a group, ordered by all columns; which of them descend.
    First {
        group: Box<Query>,
        descends: Vec<bool>,
        rows: usize,
    },
}

/// The columns of an input.
pub const INPUT: [(&str, Type); 4] = [("id", Type::Int), ("name", Type::Text), ("n", Type::Int), ("at", Type::Time)];
/// The static table's rows.
pub const TEAMS: [(&str, &str); 4] = [("a", "red"), ("b", "blue"), ("c", "red"), ("c", "blue")];

impl Expr {
    /// Its type, over these columns.
    pub fn of(&self, columns: &[Type]) -> Type {
        match self {
            Expr::Column(index) => columns[*index],
            Expr::Upper(_) | Expr::Concat(..) => Type::Text,
            _ => Type::Int,
        }
    }

    fn sql(&self, names: &[String]) -> String {
        match self {
            Expr::Column(index) => names[*index].clone(),
            Expr::Plus(of, number) => format!("({} + {number})", of.sql(names)),
            Expr::Times(of, number) => format!("({} * {number})", of.sql(names)),
            Expr::Coalesce(of, number) => format!("coalesce({}, {number})", of.sql(names)),
            Expr::Case(test, yes, no) => {
                format!("CASE WHEN {} THEN {} ELSE {no} END", test.sql(names), yes.sql(names))
            }
            Expr::Upper(of) => format!("upper({})", of.sql(names)),
            Expr::Concat(of, text) => format!("({} || '{text}')", of.sql(names)),
        }
    }
}

impl Test {
    fn sql(&self, names: &[String]) -> String {
        match self {
            Test::Less(of, number) => format!("{} < {number}", of.sql(names)),
            Test::Equals(of, text) => format!("{} = '{text}'", of.sql(names)),
            Test::In(of, [one, other]) => format!("{} IN ('{one}', '{other}')", of.sql(names)),
            Test::Null(of) => format!("{} IS NULL", of.sql(names)),
            Test::Even(of) => format!("{} % 2 = 0", of.sql(names)),
            Test::And(one, other) => format!("({} AND {})", one.sql(names), other.sql(names)),
            Test::Or(one, other) => format!("({} OR {})", one.sql(names), other.sql(names)),
            Test::Not(of) => format!("NOT ({})", of.sql(names)),
        }
    }
}

impl Aggregate {
    /// The type of its answer.
    pub fn of(&self) -> Type {
        match self {
            Aggregate::Avg(_) => Type::Float,
            Aggregate::Min(_, of) | Aggregate::Max(_, of) => *of,
            _ => Type::Int,
        }
    }

    fn sql(&self, names: &[String]) -> String {
        match self {
            Aggregate::Count => "count(*)".into(),
            Aggregate::CountIf(test) => format!("count(*) FILTER (WHERE {})", test.sql(names)),
            Aggregate::CountOf(of) => format!("count({})", of.sql(names)),
            Aggregate::CountDistinct(of) => format!("count(DISTINCT {})", of.sql(names)),
            Aggregate::Sum(of) => format!("sum({})", of.sql(names)),
            Aggregate::Avg(of) => format!("avg({})", of.sql(names)),
            Aggregate::Min(of, _) => format!("min({})", of.sql(names)),
            Aggregate::Max(of, _) => format!("max({})", of.sql(names)),
        }
    }
}

impl Cut {
    fn sql(&self, names: &[String]) -> String {
        match self {
            Cut::Spans { of, length, slide, shift } => {
                let of = &names[*of];
                match (slide == length, shift) {
                    (true, 0) => format!("window({of}, '{length} seconds')"),
                    (_, 0) => format!("window({of}, '{length} seconds', '{slide} seconds')"),
                    _ => format!("window({of}, '{length} seconds', '{slide} seconds', '{shift} seconds')"),
                }
            }
            Cut::Session { of, gap } => format!("session_window({}, '{gap} seconds')", names[*of]),
        }
    }
}

impl Query {
    /// The types of its columns.
    pub fn columns(&self) -> Vec<Type> {
        match self {
            Query::Input(_) => INPUT.iter().map(|(_, of)| *of).collect(),
            Query::Select { from, columns, .. } => {
                let types = from.columns();
                columns.iter().map(|column| column.of(&types)).collect()
            }
            Query::Union(one, _) => one.columns(),
            Query::Distinct(of) | Query::First { group: of, .. } => of.columns(),
            Query::Teams { from, .. } => from.columns().into_iter().chain([Type::Text]).collect(),
            Query::Join { kind: Join::Semi, left, .. } => left.columns(),
            Query::Join { left, right, .. } => [left.columns(), right.columns()].concat(),
            Query::Group { from, keys, cut, aggregates, .. } => {
                let types = from.columns();
                let keys = keys.iter().map(|key| types[*key]);
                keys.chain(cut.map(|_| Type::Window)).chain(aggregates.iter().map(Aggregate::of)).collect()
            }
        }
    }

    /// The names of its columns.
    pub fn names(&self) -> Vec<String> {
        match self {
            Query::Input(_) => INPUT.iter().map(|(name, _)| (*name).to_owned()).collect(),
            _ => (0..self.columns().len()).map(|index| format!("c{index}")).collect(),
        }
    }

    fn qualified(&self, alias: &str) -> Vec<String> {
        self.names().iter().map(|name| format!("{alias}.{name}")).collect()
    }

    fn relation(&self, alias: &str) -> String {
        match self {
            Query::Input(name) => format!("{name} {alias}"),
            _ => format!("({}) {alias}", self.sql()),
        }
    }

    /// The statement.
    pub fn sql(&self) -> String {
        let listed = |columns: Vec<String>| {
            let named = columns.iter().enumerate().map(|(index, column)| format!("{column} AS c{index}"));
            named.collect::<Vec<_>>().join(", ")
        };
        match self {
            Query::Input(name) => format!("SELECT id, name, n, at FROM {name}"),
            Query::Select { from, columns, filter } => {
                let names = from.qualified("t");
                let columns = columns.iter().map(|column| column.sql(&names)).collect();
                let mut sql = format!("SELECT {} FROM {}", listed(columns), from.relation("t"));
                if let Some(filter) = filter {
                    let _ = write!(sql, " WHERE {}", filter.sql(&names));
                }
                sql
            }
            Query::Union(one, other) => format!("{} UNION ALL {}", one.sql(), other.sql()),
            Query::Distinct(of) => format!("SELECT DISTINCT {} FROM {}", listed(of.qualified("t")), of.relation("t")),
            Query::Teams { from, outer } => {
                let name = &from.qualified("t")[from.name_column()];
                let columns = from.qualified("t").into_iter().chain(["teams.team".to_owned()]).collect();
                let kind = if *outer { "LEFT JOIN" } else { "JOIN" };
                format!("SELECT {} FROM {} {kind} teams ON {name} = teams.name", listed(columns), from.relation("t"))
            }
            Query::Join { kind, left, right, near, more } => {
                let (mine, theirs) = (left.qualified("l"), right.qualified("r"));
                let (l, r) = (&mine[left.time_column()], &theirs[right.time_column()]);
                let mut on = format!("{} = {}", mine[left.name_column()], theirs[right.name_column()]);
                let _ = match near {
                    Near::Any => Ok(()),
                    Near::Range { before: 0, after } => {
                        write!(on, " AND {r} BETWEEN {l} AND {l} + INTERVAL {after} SECONDS")
                    }
                    Near::Range { before, after } => write!(
                        on,
                        " AND {r} >= {l} - INTERVAL {before} SECONDS AND {r} <= {l} + INTERVAL {after} SECONDS"
                    ),
                    Near::SameWindow(length) => {
                        write!(on, " AND window({l}, '{length} seconds') = window({r}, '{length} seconds')")
                    }
                };
                if let Some(least) = more {
                    let _ =
                        write!(on, " AND {} + {} > {least}", mine[left.number_column()], theirs[right.number_column()]);
                }
                let columns = if *kind == Join::Semi { mine } else { [mine, theirs].concat() };
                let kind = match kind {
                    Join::Inner => "JOIN",
                    Join::Left => "LEFT JOIN",
                    Join::Right => "RIGHT JOIN",
                    Join::Full => "FULL JOIN",
                    Join::Semi => "LEFT SEMI JOIN",
                };
                format!("SELECT {} FROM {} {kind} {} ON {on}", listed(columns), left.relation("l"), right.relation("r"))
            }
            Query::Group { from, keys, cut, aggregates, having } => {
                let names = from.qualified("t");
                let by: Vec<String> =
                    keys.iter().map(|key| names[*key].clone()).chain(cut.map(|cut| cut.sql(&names))).collect();
                let all = by.iter().cloned().chain(aggregates.iter().map(|aggregate| aggregate.sql(&names))).collect();
                let mut sql = format!("SELECT {} FROM {}", listed(all), from.relation("t"));
                if !by.is_empty() {
                    let _ = write!(sql, " GROUP BY {}", by.join(", "));
                }
                if let Some(least) = having {
                    let _ = write!(sql, " HAVING count(*) >= {least}");
                }
                sql
            }
            Query::First { group, descends, rows } => {
                let order = group.names().into_iter().zip(descends);
                let order: Vec<String> =
                    order.map(|(name, down)| format!("{name}{}", if *down { " DESC" } else { "" })).collect();
                format!("{} ORDER BY {} LIMIT {rows}", group.sql(), order.join(", "))
            }
        }
    }

    fn first_of(&self, of: Type) -> usize {
        self.columns().iter().position(|column| *column == of).unwrap_or_default()
    }

    /// The column by which rows are joined.
    pub fn name_column(&self) -> usize {
        self.first_of(Type::Text)
    }

    /// The column of event time.
    pub fn time_column(&self) -> usize {
        self.first_of(Type::Time)
    }

    /// The column of numbers that a join's further condition is about: the last.
    pub fn number_column(&self) -> usize {
        self.columns().iter().rposition(|column| *column == Type::Int).unwrap_or_default()
    }

    /// Whether it is below a group whose rows wait, behind a join: by how much they wait longer is the engine's business.
    pub fn waits_behind_a_join(&self) -> bool {
        match self {
            Query::Group { from, .. } => from.has(|below| {
                matches!(below, Query::Group { from, .. } if from.has(|query| matches!(query, Query::Join { .. })))
            }),
            Query::Select { from: of, .. } | Query::Distinct(of) | Query::First { group: of, .. } => {
                of.waits_behind_a_join()
            }
            _ => false,
        }
    }

    /// Whether it, or what it reads, is like that.
    pub fn has(&self, like: impl Fn(&Query) -> bool + Copy) -> bool {
        like(self)
            || match self {
                Query::Input(_) => false,
                Query::Select { from, .. } | Query::Teams { from, .. } | Query::Group { from, .. } => from.has(like),
                Query::Distinct(of) | Query::First { group: of, .. } => of.has(like),
                Query::Union(one, other) => one.has(like) || other.has(like),
                Query::Join { left, right, .. } => left.has(like) || right.has(like),
            }
    }
}
