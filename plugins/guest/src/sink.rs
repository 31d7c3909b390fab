//! Plugins that take rows away: what a view changed comes epoch by epoch, whole or row by row.

use std::fmt;

use crate::batch::{Batch, Schema};
use crate::cell::Row;

/// Which rows of a view come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputMode {
    /// Rows that are final.
    Append,
    /// Rows that changed.
    Update,
    /// All rows, whenever any changed.
    Complete,
}

/// What the deployment says of the sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// Its name.
    pub name: String,
    /// Its `options:`, as text.
    pub options: Vec<(String, String)>,
    /// The columns of its rows.
    pub input: Schema,
    /// Which rows.
    pub output_mode: OutputMode,
}

impl Setting {
    /// The option of that name, if it is there.
    pub fn option(&self, name: &str) -> Option<&str> {
        self.options.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The option of that name; an error in the user's words where it is missing.
    pub fn require(&self, name: &str) -> Result<&str, String> {
        self.option(name).ok_or_else(|| format!("needs the option `{name}`"))
    }

    /// An error in the user's words where there is an option of another name.
    pub fn only(&self, names: &[&str]) -> Result<(), String> {
        match self.options.iter().find(|(key, _)| !names.contains(&key.as_str())) {
            Some((key, _)) => Err(format!("has no option `{key}`; there are: {}", names.join(", "))),
            None => Ok(()),
        }
    }
}

/// What a sink promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Promise {
    /// An epoch that comes again has the effect of one.
    pub idempotent: bool,
}

/// The epoch whose rows come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// Its number.
    pub number: u64,
    /// In which numbers count.
    pub history: String,
}

impl fmt::Display for Epoch {
    /// What no other epoch of any store has: a key for whoever drops what came before.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.history, self.number)
    }
}

/// Takes the rows of an epoch, all at once or in parts: Spark's `foreachBatch`. A value lives for one epoch. After a crash or an
/// error the epoch comes again: the same number, the same rows, in any order.
pub trait Sink: Sized + 'static {
    /// Whether these options and columns will do, and what the sink promises. Asked once, when a deployment is planned.
    fn describe(setting: &Setting) -> Result<Promise, String>;

    /// An epoch with rows begins; `None` where it is known to be done.
    fn open(setting: &Setting, epoch: &Epoch) -> Result<Option<Self>, String>;

    /// Takes rows of the epoch.
    fn process(&mut self, epoch: u64, rows: Batch) -> Result<(), String>;

    /// The epoch ends; with the error of [`Self::process`], if there was one.
    fn close(self, error: Option<&str>) -> Result<(), String> {
        let _ = error;
        Ok(())
    }
}

/// Takes rows one by one: Spark's `foreach` with a `ForeachWriter`. Made a [`Sink`] by [`crate::foreach!`].
pub trait Foreach: Sized + 'static {
    /// As [`Sink::describe`].
    fn describe(setting: &Setting) -> Result<Promise, String>;

    /// As [`Sink::open`].
    fn open(setting: &Setting, epoch: &Epoch) -> Result<Option<Self>, String>;

    /// Takes a row.
    fn process(&mut self, row: Row<'_>) -> Result<(), String>;

    /// As [`Sink::close`].
    fn close(self, error: Option<&str>) -> Result<(), String> {
        let _ = error;
        Ok(())
    }
}

/// A [`Foreach`] as a [`Sink`].
#[derive(Debug)]
pub struct EachRow<T>(T);

impl<T: Foreach> Sink for EachRow<T> {
    fn describe(setting: &Setting) -> Result<Promise, String> {
        T::describe(setting)
    }

    fn open(setting: &Setting, epoch: &Epoch) -> Result<Option<Self>, String> {
        Ok(T::open(setting, epoch)?.map(Self))
    }

    fn process(&mut self, _: u64, rows: Batch) -> Result<(), String> {
        (0..rows.rows).try_for_each(|row| self.0.process(Row::new(&rows, row)))
    }

    fn close(self, error: Option<&str>) -> Result<(), String> {
        self.0.close(error)
    }
}

#[cfg(test)]
mod tests {
    use braid_wire::Type;

    use super::*;
    use crate::batch::{Column, Field};

    struct Longest(u64, usize);

    impl Foreach for Longest {
        fn describe(setting: &Setting) -> Result<Promise, String> {
            setting.only(&["least"])?;
            setting.input.require("word", Type::Utf8)?;
            Ok(Promise { idempotent: setting.require("least")? == "0" })
        }

        fn open(_: &Setting, epoch: &Epoch) -> Result<Option<Self>, String> {
            Ok((epoch.number != 7).then_some(Self(epoch.number, 0)))
        }

        fn process(&mut self, row: Row<'_>) -> Result<(), String> {
            self.1 = self.1.max(row.text("word")?.map_or(0, str::len));
            Ok(())
        }

        fn close(self, error: Option<&str>) -> Result<(), String> {
            Err(format!("{} {} {error:?}", self.0, self.1))
        }
    }

    #[test]
    fn rows_come_one_by_one() {
        let input = Schema { fields: vec![Field { name: "word".into(), data_type: Type::Utf8 }] };
        let options = vec![("least".to_owned(), "0".to_owned())];
        let mut setting = Setting { name: "s".into(), options, input, output_mode: OutputMode::Append };
        type Rows = EachRow<Longest>;
        assert_eq!(Rows::describe(&setting), Ok(Promise { idempotent: true }));
        let epoch = |number| Epoch { number, history: "h".into() };
        assert_eq!(epoch(3).to_string(), "h-3");
        assert!(matches!(Rows::open(&setting, &epoch(7)), Ok(None)));
        let mut open = Rows::open(&setting, &epoch(8)).ok().flatten().expect("it is not done");
        let rows = Batch { rows: 2, columns: vec![Column::utf8("word", [Some("ab"), Some("abc")])] };
        assert_eq!(open.process(8, rows), Ok(()));
        assert_eq!(open.close(None), Err("8 3 None".into()));
        setting.options[0].0 = "most".into();
        assert_eq!(Rows::describe(&setting), Err("has no option `most`; there are: least".into()));
    }
}
