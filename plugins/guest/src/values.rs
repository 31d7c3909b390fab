//! Rust's types as arguments, answers and parts of states.

use crate::batch::Column;
use crate::build::{FixedBuilder, VarBuilder};
use crate::view::{Bits, Fixed, Var};
use crate::{Batch, Type};

/// Room for a text, before its length is known.
const TEXT_BYTES: usize = 16;

/// A type that a function can be given. An [`Option`] of it also takes nulls; without, a null makes the answer null.
pub trait Argument<'a>: Sized {
    /// What a column is read by.
    type View;
    /// The type that is asked for.
    const TYPE: Type;
    /// Whether a column of that type will do.
    fn takes(data_type: Type) -> bool {
        data_type == Self::TYPE
    }
    /// A view of a column.
    fn view(batch: &'a Batch, column: usize) -> Result<Self::View, String>;
    /// A row's value; `None` where it must have one and has none.
    fn get(view: &Self::View, row: usize) -> Option<Self>;
    /// Whether no row is null.
    fn whole(view: &Self::View) -> bool;
    /// Every row's value, where no row is null.
    fn values(view: &Self::View) -> impl Iterator<Item = Self>;
}

/// A type that a function can answer with. An [`Option`] of it may be null; a [`Result`] may refuse the row.
pub trait Answer: Sized {
    /// What builds the column.
    type Builder;
    /// The column's type.
    const TYPE: Type;
    /// For so many rows.
    fn builder(rows: usize) -> Self::Builder;
    /// The next row.
    fn put(self, to: &mut Self::Builder) -> Result<(), String>;
    /// The next row has none.
    fn put_null(to: &mut Self::Builder);
    /// The column.
    fn finish(builder: Self::Builder, name: &str) -> Column;
    /// A column of so many answers.
    fn collect(rows: usize, answers: impl Iterator<Item = Self>, name: &str) -> Result<Column, String> {
        let mut builder = Self::builder(rows);
        for answer in answers {
            answer.put(&mut builder)?;
        }
        Ok(Self::finish(builder, name))
    }
}

fn column(batch: &Batch, number: usize, should_be: Type, takes: bool) -> Result<&Column, String> {
    let column = batch.columns.get(number).ok_or_else(|| format!("there is no argument {number}"))?;
    match takes {
        true => Ok(column),
        false => Err(format!("argument {number} is {}, and should be {should_be}", column.data_type)),
    }
}

macro_rules! numbers {
    ($($number:ty, $data_type:expr, [$($also:path),+];)*) => {$(
        impl<'a> Argument<'a> for $number {
            type View = Fixed<'a, $number>;
            const TYPE: Type = $data_type;
            fn takes(data_type: Type) -> bool {
                matches!(data_type, $($also)|+)
            }
            fn view(batch: &'a Batch, number: usize) -> Result<Self::View, String> {
                let takes = batch.columns.get(number).is_some_and(|column| Self::takes(column.data_type));
                Ok(Fixed::new(batch.rows, column(batch, number, $data_type, takes)?))
            }
            #[inline]
            fn get(view: &Self::View, row: usize) -> Option<Self> {
                view.get(row)
            }
            fn whole(view: &Self::View) -> bool {
                view.whole()
            }
            #[inline]
            fn values(view: &Self::View) -> impl Iterator<Item = Self> {
                let (values, _) = view.bytes().as_chunks();
                values.iter().map(|bytes| Self::from_le_bytes(*bytes))
            }
        }

        impl Answer for $number {
            type Builder = FixedBuilder<$number>;
            const TYPE: Type = $data_type;
            fn builder(rows: usize) -> Self::Builder {
                FixedBuilder::with_capacity(rows)
            }
            #[inline]
            fn put(self, to: &mut Self::Builder) -> Result<(), String> {
                to.push(Some(self));
                Ok(())
            }
            fn put_null(to: &mut Self::Builder) {
                to.push(None);
            }
            fn finish(builder: Self::Builder, name: &str) -> Column {
                builder.finish(name, $data_type)
            }
            // Without a look at each row's room, so that it can be many rows at once.
            #[inline]
            fn collect(_: usize, answers: impl Iterator<Item = Self>, name: &str) -> Result<Column, String> {
                let values: Vec<_> = answers.map(<$number>::to_le_bytes).collect();
                let values = values.into_flattened();
                Ok(Column { name: name.into(), data_type: $data_type, validity: None, offsets: None, values })
            }
        }
    )*};
}

numbers! {
    i32, Type::Int32, [Type::Int32, Type::Date32];
    i64, Type::Int64, [Type::Int64, Type::TimestampMicros, Type::TimestampMillis];
    f32, Type::Float32, [Type::Float32];
    f64, Type::Float64, [Type::Float64];
}

impl<'a> Argument<'a> for bool {
    type View = Bits<'a>;
    const TYPE: Type = Type::Boolean;
    fn view(batch: &'a Batch, number: usize) -> Result<Self::View, String> {
        let takes = batch.columns.get(number).is_some_and(|column| Self::takes(column.data_type));
        Ok(Bits::new(batch.rows, column(batch, number, Type::Boolean, takes)?))
    }
    fn get(view: &Self::View, row: usize) -> Option<Self> {
        view.get(row)
    }
    fn whole(view: &Self::View) -> bool {
        view.whole()
    }
    fn values(view: &Self::View) -> impl Iterator<Item = Self> {
        view.iter().flatten()
    }
}

impl Answer for bool {
    type Builder = Vec<Option<bool>>;
    const TYPE: Type = Type::Boolean;
    fn builder(rows: usize) -> Self::Builder {
        Vec::with_capacity(rows)
    }
    fn put(self, to: &mut Self::Builder) -> Result<(), String> {
        to.push(Some(self));
        Ok(())
    }
    fn put_null(to: &mut Self::Builder) {
        to.push(None);
    }
    fn finish(builder: Self::Builder, name: &str) -> Column {
        Column::boolean(name, builder)
    }
}

macro_rules! texts {
    ($data_type:expr; $($text:ty, $view:ident => $read:expr;)*) => {$(
        impl<'a> Argument<'a> for $text {
            type View = Var<'a>;
            const TYPE: Type = $data_type;
            fn view(batch: &'a Batch, number: usize) -> Result<Self::View, String> {
                let takes = batch.columns.get(number).is_some_and(|column| column.data_type == $data_type);
                Ok(Var::new(batch.rows, column(batch, number, $data_type, takes)?).checked())
            }
            #[inline]
            fn get($view: &Self::View, row: usize) -> Option<Self> {
                $read(row)
            }
            fn whole(view: &Self::View) -> bool {
                view.whole()
            }
            #[inline]
            fn values($view: &Self::View) -> impl Iterator<Item = Self> {
                (0..$view.rows()).filter_map($read)
            }
        }
    )*};
}

texts! {
    Type::Utf8;
    &'a str, view => |row| view.get(row);
    String, view => |row| view.get(row).map(str::to_owned);
}
texts! {
    Type::Binary;
    &'a [u8], view => |row| view.bytes(row);
    Vec<u8>, view => |row| view.bytes(row).map(<[u8]>::to_vec);
}

macro_rules! text_answers {
    ($($text:ty, $data_type:expr;)*) => {$(
        impl Answer for $text {
            type Builder = VarBuilder;
            const TYPE: Type = $data_type;
            fn builder(rows: usize) -> Self::Builder {
                VarBuilder::with_capacity(rows, rows * TEXT_BYTES)
            }
            #[inline]
            fn put(self, to: &mut Self::Builder) -> Result<(), String> {
                let bytes: &[u8] = self.as_ref();
                to.push_parts(&[bytes]);
                Ok(())
            }
            fn put_null(to: &mut Self::Builder) {
                to.push(None::<&[u8]>);
            }
            fn finish(builder: Self::Builder, name: &str) -> Column {
                builder.finish(name, $data_type)
            }
        }
    )*};
}

text_answers! {
    &str, Type::Utf8;
    String, Type::Utf8;
    &[u8], Type::Binary;
    Vec<u8>, Type::Binary;
}

impl<'a, T: Argument<'a>> Argument<'a> for Option<T> {
    type View = T::View;
    const TYPE: Type = T::TYPE;
    fn takes(data_type: Type) -> bool {
        T::takes(data_type)
    }
    fn view(batch: &'a Batch, column: usize) -> Result<Self::View, String> {
        T::view(batch, column)
    }
    fn get(view: &Self::View, row: usize) -> Option<Self> {
        Some(T::get(view, row))
    }
    fn whole(view: &Self::View) -> bool {
        T::whole(view)
    }
    #[inline]
    fn values(view: &Self::View) -> impl Iterator<Item = Self> {
        T::values(view).map(Some)
    }
}

impl<T: Answer> Answer for Option<T> {
    type Builder = T::Builder;
    const TYPE: Type = T::TYPE;
    fn builder(rows: usize) -> Self::Builder {
        T::builder(rows)
    }
    fn put(self, to: &mut Self::Builder) -> Result<(), String> {
        match self {
            Some(value) => value.put(to),
            None => {
                T::put_null(to);
                Ok(())
            }
        }
    }
    fn put_null(to: &mut Self::Builder) {
        T::put_null(to);
    }
    fn finish(builder: Self::Builder, name: &str) -> Column {
        T::finish(builder, name)
    }
}

impl<T: Answer, E: std::fmt::Display> Answer for Result<T, E> {
    type Builder = T::Builder;
    const TYPE: Type = T::TYPE;
    fn builder(rows: usize) -> Self::Builder {
        T::builder(rows)
    }
    fn put(self, to: &mut Self::Builder) -> Result<(), String> {
        self.map_err(|reason| reason.to_string())?.put(to)
    }
    fn put_null(to: &mut Self::Builder) {
        T::put_null(to);
    }
    fn finish(builder: Self::Builder, name: &str) -> Column {
        T::finish(builder, name)
    }
}

/// The values of a row, as a tuple: the arguments of an aggregate.
pub trait Arguments<'a>: Sized {
    /// Views of the columns.
    type Views;
    /// Their types.
    const TYPES: &'static [Type];
    /// Whether columns of these types will do.
    fn take(types: &[Type]) -> bool;
    /// Views of a batch's columns.
    fn views(batch: &'a Batch) -> Result<Self::Views, String>;
    /// A row; `None` where a value is missing that must be there.
    fn get(views: &Self::Views, row: usize) -> Option<Self>;
    /// Whether no value is null.
    fn whole(views: &Self::Views) -> bool;
    /// Every row, where no value is null.
    fn values(views: &Self::Views) -> impl Iterator<Item = Self>;
}

/// The values of several columns, row by row.
macro_rules! zipped {
    ($views:ident, $a:ident 0) => {
        $a::values(&$views.0).map(|a| (a,))
    };
    ($views:ident, $a:ident 0, $b:ident 1) => {
        $a::values(&$views.0).zip($b::values(&$views.1))
    };
    ($views:ident, $a:ident 0, $b:ident 1, $c:ident 2) => {
        zipped!($views, $a 0, $b 1).zip($c::values(&$views.2)).map(|((a, b), c)| (a, b, c))
    };
    ($views:ident, $a:ident 0, $b:ident 1, $c:ident 2, $d:ident 3) => {
        zipped!($views, $a 0, $b 1, $c 2).zip($d::values(&$views.3)).map(|((a, b, c), d)| (a, b, c, d))
    };
    ($views:ident, $a:ident 0, $b:ident 1, $c:ident 2, $d:ident 3, $e:ident 4) => {
        zipped!($views, $a 0, $b 1, $c 2, $d 3).zip($e::values(&$views.4)).map(|((a, b, c, d), e)| (a, b, c, d, e))
    };
    ($views:ident, $a:ident 0, $b:ident 1, $c:ident 2, $d:ident 3, $e:ident 4, $f:ident 5) => {
        zipped!($views, $a 0, $b 1, $c 2, $d 3, $e 4)
            .zip($f::values(&$views.5))
            .map(|((a, b, c, d, e), f)| (a, b, c, d, e, f))
    };
}

macro_rules! tuples {
    ($($count:literal: $($name:ident $number:tt),+;)*) => {$(
        impl<'a, $($name: Argument<'a>),+> Arguments<'a> for ($($name,)+) {
            type Views = ($($name::View,)+);
            const TYPES: &'static [Type] = &[$($name::TYPE),+];
            fn take(types: &[Type]) -> bool {
                types.len() == $count $(&& $name::takes(types[$number]))+
            }
            fn views(batch: &'a Batch) -> Result<Self::Views, String> {
                Ok(($($name::view(batch, $number)?,)+))
            }
            #[inline]
            fn get(views: &Self::Views, row: usize) -> Option<Self> {
                Some(($($name::get(&views.$number, row)?,)+))
            }
            fn whole(views: &Self::Views) -> bool {
                true $(&& $name::whole(&views.$number))+
            }
            #[inline]
            fn values(views: &Self::Views) -> impl Iterator<Item = Self> {
                zipped!(views, $($name $number),+)
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
}

/// What a plugin of SQL says of arguments that will not do.
pub fn wanted(types: &[Type], given: &[Type]) -> String {
    let names = |types: &[Type]| types.iter().map(Type::to_string).collect::<Vec<_>>().join(", ");
    format!("takes ({}), and was given ({})", names(types), names(given))
}
