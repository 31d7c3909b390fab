//! What a stateful plugin keeps: names with types, declared once as constants.

use std::marker::PhantomData;

use braid_wire::Type;

use crate::cell::{Cell, Kept};
use crate::stateful::{Context, Kind, State, Variable};

/// At most one value a key.
#[derive(Debug)]
pub struct ValueState<T>(&'static str, PhantomData<T>);

/// Values in the order in which they were added.
#[derive(Debug)]
pub struct ListState<T>(&'static str, PhantomData<T>);

/// Values by name.
#[derive(Debug)]
pub struct MapState<K, V>(&'static str, PhantomData<(K, V)>);

fn variable(name: &str, kind: Kind, entry: Option<Type>, value: Type) -> Variable {
    Variable { name: name.into(), kind, entry, value, ttl: None }
}

fn read<T: Kept>(cell: &Cell<'_>) -> Result<T, String> {
    T::of(cell).ok_or_else(|| format!("state is {}, and was kept as {cell:?}", T::TYPE))
}

impl<T: Kept> State for ValueState<T> {
    fn variable(&self) -> Variable {
        variable(self.0, Kind::Value, None, T::TYPE)
    }
}

impl<T: Kept> ValueState<T> {
    /// By its name.
    pub const fn new(name: &'static str) -> Self {
        Self(name, PhantomData)
    }

    /// The value, if there is one.
    pub fn get(&self, context: &mut Context<'_>) -> Result<Option<T>, String> {
        context.loaded(self.0, Kind::Value)?.values.first().map(read).transpose()
    }

    /// Replaces the value.
    pub fn set(&self, context: &mut Context<'_>, value: T) -> Result<(), String> {
        let loaded = context.loaded(self.0, Kind::Value)?;
        loaded.values = vec![value.cell()];
        loaded.reset = true;
        Ok(())
    }

    /// Removes the value.
    pub fn clear(&self, context: &mut Context<'_>) -> Result<(), String> {
        let loaded = context.loaded(self.0, Kind::Value)?;
        loaded.values.clear();
        loaded.reset = true;
        Ok(())
    }
}

impl<T: Kept> State for ListState<T> {
    fn variable(&self) -> Variable {
        variable(self.0, Kind::List, None, T::TYPE)
    }
}

impl<T: Kept> ListState<T> {
    /// By its name.
    pub const fn new(name: &'static str) -> Self {
        Self(name, PhantomData)
    }

    /// The values.
    pub fn get(&self, context: &mut Context<'_>) -> Result<Vec<T>, String> {
        context.loaded(self.0, Kind::List)?.values.iter().map(read).collect()
    }

    /// Adds a value behind the others.
    pub fn push(&self, context: &mut Context<'_>, value: T) -> Result<(), String> {
        context.loaded(self.0, Kind::List)?.values.push(value.cell());
        Ok(())
    }

    /// Removes all values.
    pub fn clear(&self, context: &mut Context<'_>) -> Result<(), String> {
        let loaded = context.loaded(self.0, Kind::List)?;
        loaded.values.clear();
        loaded.kept = 0;
        loaded.reset = true;
        Ok(())
    }
}

impl<K: Kept, V: Kept> State for MapState<K, V> {
    fn variable(&self) -> Variable {
        variable(self.0, Kind::Map, Some(K::TYPE), V::TYPE)
    }
}

impl<K: Kept, V: Kept> MapState<K, V> {
    /// By its name.
    pub const fn new(name: &'static str) -> Self {
        Self(name, PhantomData)
    }

    /// The value of an entry, if there is one.
    pub fn get(&self, context: &mut Context<'_>, entry: K) -> Result<Option<V>, String> {
        context.loaded(self.0, Kind::Map)?.entries.get(&entry.cell()).map(read).transpose()
    }

    /// All entries, in the order of their names.
    pub fn entries(&self, context: &mut Context<'_>) -> Result<Vec<(K, V)>, String> {
        let entries = context.loaded(self.0, Kind::Map)?.entries.iter();
        entries.map(|(entry, value)| Ok((read(entry)?, read(value)?))).collect()
    }

    /// Replaces the value of an entry.
    pub fn put(&self, context: &mut Context<'_>, entry: K, value: V) -> Result<(), String> {
        let loaded = context.loaded(self.0, Kind::Map)?;
        let entry = entry.cell();
        loaded.changed.insert(entry.clone());
        loaded.entries.insert(entry, value.cell());
        Ok(())
    }

    /// Removes an entry.
    pub fn remove(&self, context: &mut Context<'_>, entry: K) -> Result<(), String> {
        let loaded = context.loaded(self.0, Kind::Map)?;
        let entry = entry.cell();
        if loaded.entries.remove(&entry).is_some() {
            loaded.changed.insert(entry);
        }
        Ok(())
    }

    /// Removes all entries.
    pub fn clear(&self, context: &mut Context<'_>) -> Result<(), String> {
        let loaded = context.loaded(self.0, Kind::Map)?;
        loaded.changed.extend(std::mem::take(&mut loaded.entries).into_keys());
        Ok(())
    }
}
