//! Values, as they lie in the store and on their way into it.
//!
//! **Rule that makes this sound:** a reference to an object borrows its entry, which owns
//! the cell and is not changed meanwhile; what is made of the cell to be read is never
//! dropped.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::base::num;
use crate::types::object::{Family, Object};

/// A large string, shared with the replies that are still being written.
pub type Blob = Arc<Vec<u8>>;

/// A value as it lies in the store.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string that is the canonical text of this integer.
    Int(i64),
    /// A short string.
    Str(&'a [u8]),
    /// A large string.
    Blob(&'a Blob),
    /// No string.
    Object(ObjectRef<'a>),
}

/// An object in its entry.
#[derive(Clone, Copy, Debug)]
pub struct ObjectRef<'a> {
    pub(super) tag: u8,
    pub(super) at: NonNull<u8>,
    pub(super) of: PhantomData<&'a Object>,
}

impl<'a> ObjectRef<'a> {
    /// The object, to be read.
    pub fn get(self) -> ObjectView<'a> {
        // SAFETY: the entry owns the cell and is not changed while `'a` lasts;
        // what is made of it here is never dropped.
        let object = unsafe { Object::from_cell(self.tag, self.at) };
        ObjectView {
            object: ManuallyDrop::new(object),
            of: PhantomData,
        }
    }
}

/// An object that can be read.
pub struct ObjectView<'a> {
    object: ManuallyDrop<Object>,
    of: PhantomData<&'a Object>,
}

impl Deref for ObjectView<'_> {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.object
    }
}

/// An object of a known family that can be read.
pub struct View<'a, T> {
    object: ObjectView<'a>,
    family: PhantomData<T>,
}

impl<'a, T: Family> View<'a, T> {
    /// `None` where the value is of another type.
    pub fn of(value: Value<'a>) -> Option<View<'a, T>> {
        let Value::Object(object) = value else {
            return None;
        };
        let object = object.get();
        T::of(&object)?;
        Some(View {
            object,
            family: PhantomData,
        })
    }
}

impl<T: Family> Deref for View<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        T::of(&self.object).expect("a view is of its own family")
    }
}

impl Value<'_> {
    /// The type's name, as TYPE says it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Int(_) | Value::Str(_) | Value::Blob(_) => "string",
            Value::Object(object) => object.get().type_name(),
        }
    }

    /// Length of the string in bytes; of an object, the number of its elements.
    pub fn len(&self) -> usize {
        match self {
            Value::Int(n) => num::IntText::new(*n).as_bytes().len(),
            Value::Str(s) => s.len(),
            Value::Blob(b) => b.len(),
            Value::Object(object) => object.get().len(),
        }
    }

    /// Whether the string is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Shows the string's bytes to `f`; of an object there are none.
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Value::Object(_) => f(&[]),
            Value::Int(n) => f(num::IntText::new(*n).as_bytes()),
            Value::Str(s) => f(s),
            Value::Blob(b) => f(b),
        }
    }

    /// A copy of the string's bytes.
    pub fn to_vec(&self) -> Vec<u8> {
        self.with_bytes(<[u8]>::to_vec)
    }
}

/// A value on its way into the store.
#[derive(Clone)]
pub enum NewValue<'a> {
    /// An integer, stored as one.
    Int(i64),
    /// A string; `create` decides where it lives.
    Str(&'a [u8]),
    /// A large string that is already in its final allocation.
    Blob(Blob),
    /// No string.
    Object(Object),
}

impl<'a> NewValue<'a> {
    /// A string as SET keeps it: the canonical text of an integer as one.
    #[inline]
    pub fn encode(text: &'a [u8]) -> NewValue<'a> {
        match num::parse_i64(text) {
            Some(n) => NewValue::Int(n),
            None => NewValue::Str(text),
        }
    }
}
