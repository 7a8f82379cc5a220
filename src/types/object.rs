//! A value that is more than a string: one of the families, in one of its
//! encodings.
//!
//! An encoding owns all that it holds by one pointer, so that the store keeps an
//! object as eight bytes and a tag, and still every family is an ordinary enum:
//!
//! ```text
//!  Object::List(List::Packed(Listpack))  ──into_cell──►  (tag 0, pointer)
//!                                        ◄──from_cell──
//! ```
//!
//! **Rule that makes this sound:** [`Object::from_cell`] gets what
//! [`Object::into_cell`] gave, and of what it makes of one cell at most one is
//! ever dropped. Only `store::entry` calls them.
#![allow(unsafe_code)]

use std::ptr::NonNull;

/// Owns what it stands for by one pointer.
///
/// # Safety
/// `from_pointer` gives back what `into_pointer` took apart, and neither
/// allocates nor frees.
pub unsafe trait Pointer: Sized {
    /// Takes it apart: whoever has the pointer owns it now.
    fn into_pointer(self) -> NonNull<u8>;

    /// Puts it together again.
    ///
    /// # Safety
    /// The pointer is from `into_pointer` of the same type, and what is made of
    /// it is dropped at most once.
    unsafe fn from_pointer(pointer: NonNull<u8>) -> Self;
}

// SAFETY: both are `Box`'s own.
unsafe impl<T> Pointer for Box<T> {
    fn into_pointer(self) -> NonNull<u8> {
        NonNull::from(Box::leak(self)).cast()
    }

    unsafe fn from_pointer(pointer: NonNull<u8>) -> Self {
        // SAFETY: by the caller's promise it is a leaked box of this type.
        unsafe { Box::from_raw(pointer.cast::<T>().as_ptr()) }
    }
}

/// What is bytes behind a thin pointer, and nothing else.
macro_rules! thin {
    ($($type:ty),*) => {$(
        // SAFETY: as of the bytes, which are all that there is to it.
        unsafe impl Pointer for $type {
            fn into_pointer(self) -> NonNull<u8> {
                self.bytes.into_pointer()
            }

            unsafe fn from_pointer(pointer: NonNull<u8>) -> Self {
                // SAFETY: by the caller's promise.
                let bytes = unsafe { Pointer::from_pointer(pointer) };
                Self { bytes }
            }
        }
    )*};
}

thin!(super::intset::Intset, super::listpack::Listpack);

/// A family, seen from the object that holds it; `families!` writes these.
pub trait Member: Into<Object> + Sized {
    /// Its name, as TYPE says it.
    const NAME: &'static str;
    /// The family's value in an object.
    fn of(object: &Object) -> Option<&Self>;
    /// The family's value in an object, to be changed.
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
}

/// What every family of values answers.
pub trait Family: Member + Clone {
    /// Whether its key stays when nothing is left in it.
    const STAYS_EMPTY: bool = false;

    /// Number of elements.
    fn len(&self) -> usize;
    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// What OBJECT ENCODING says.
    fn encoding(&self) -> &'static str;
    /// Bytes that it holds on the heap, found in a time that does not grow with
    /// them.
    fn heap_bytes(&self) -> usize;
    /// How many allocations must be freed with it, about.
    fn free_effort(&self) -> usize;
    /// The first of its elements' own deadlines, where any has one, in Unix
    /// milliseconds.
    fn due_ms(&self) -> Option<u64> {
        None
    }
    /// Removes elements whose deadline has passed, `most` at most, showing each to
    /// `gone`.
    fn expire(&mut self, _now_ms: u64, _most: usize, _gone: impl FnMut(&[u8])) {}
}

/// Every family, by its module, its name and its encodings, each with the tag
/// that stands for it.
macro_rules! families {
    ($($module:ident::$family:ident $name:literal { $($variant:ident = $tag:literal),+ }),* $(,)?) => {
        $(pub use super::$module::$family;)*

        /// See the head of this file.
        #[derive(Clone)]
        pub enum Object {
            $(
                #[doc = concat!("A ", $name, ".")]
                $family($family),
            )*
        }

        impl Object {
            /// Takes it apart: a tag below 64, and a pointer that owns it.
            pub fn into_cell(self) -> (u8, NonNull<u8>) {
                match self {
                    $($(Object::$family($family::$variant(p)) => ($tag, p.into_pointer()),)+)*
                }
            }

            /// Puts it together again.
            ///
            /// # Safety
            /// The cell is from [`Object::into_cell`], and what is made of it is
            /// dropped at most once.
            pub unsafe fn from_cell(tag: u8, pointer: NonNull<u8>) -> Object {
                match tag {
                    $($(
                        // SAFETY: the tag says of which type the pointer is.
                        $tag => Object::$family($family::$variant(unsafe {
                            Pointer::from_pointer(pointer)
                        })),
                    )+)*
                    _ => unreachable!("no encoding has the tag {tag}"),
                }
            }

            /// Its family's name, as TYPE says it.
            pub fn type_name(&self) -> &'static str {
                match *self {
                    $(Object::$family(_) => $name,)*
                }
            }

            /// As [`Family::len`].
            pub fn len(&self) -> usize {
                match *self {
                    $(Object::$family(ref value) => Family::len(value),)*
                }
            }

            /// As [`Family::is_empty`].
            pub fn is_empty(&self) -> bool {
                self.len() == 0
            }

            /// As [`Family::encoding`].
            pub fn encoding(&self) -> &'static str {
                match *self {
                    $(Object::$family(ref value) => Family::encoding(value),)*
                }
            }

            /// As [`Family::heap_bytes`].
            pub fn heap_bytes(&self) -> usize {
                match *self {
                    $(Object::$family(ref value) => Family::heap_bytes(value),)*
                }
            }

            /// As [`Family::free_effort`].
            pub fn free_effort(&self) -> usize {
                match *self {
                    $(Object::$family(ref value) => Family::free_effort(value),)*
                }
            }

            /// As [`Family::due_ms`].
            #[inline]
            pub fn due_ms(&self) -> Option<u64> {
                match *self {
                    $(Object::$family(ref value) => Family::due_ms(value),)*
                }
            }

            /// As [`Family::expire`].
            pub fn expire(&mut self, now_ms: u64, most: usize, gone: impl FnMut(&[u8])) {
                match *self {
                    $(Object::$family(ref mut value) => Family::expire(value, now_ms, most, gone),)*
                }
            }
        }

        $(
            impl Member for $family {
                const NAME: &'static str = $name;

                fn of(object: &Object) -> Option<&$family> {
                    match object {
                        Object::$family(value) => Some(value),
                        #[allow(unreachable_patterns, reason = "there may be one family alone")]
                        _ => None,
                    }
                }

                fn of_mut(object: &mut Object) -> Option<&mut $family> {
                    match object {
                        Object::$family(value) => Some(value),
                        #[allow(unreachable_patterns, reason = "there may be one family alone")]
                        _ => None,
                    }
                }
            }

            impl From<$family> for Object {
                fn from(value: $family) -> Object {
                    Object::$family(value)
                }
            }
        )*
    };
}

families! {
    list::List "list" { Packed = 0, Quick = 1 },
    hash::Hash "hash" { Packed = 4, Table = 5 },
    set::Set "set" { Ints = 6, Packed = 7, Table = 8 },
    zset::ZSet "zset" { Packed = 10, Tree = 11 },
    stream::Stream "stream" { Tree = 12 },
}
