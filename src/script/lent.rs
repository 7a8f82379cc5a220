//! A script's caller, lent to the functions of its interpreter for as long as it runs.
//!
//! Those functions are made once, with the interpreter, and live longer than any caller:
//! what they are lent is known to them by its address alone.

#![allow(unsafe_code)]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use super::vm::Caller;

/// See the head of this file.
#[derive(Default)]
pub struct Lent(AtomicPtr<()>);

/// Puts an address back where it was.
struct PutBack<'a>(&'a AtomicPtr<()>, *mut ());

impl Drop for PutBack<'_> {
    fn drop(&mut self) {
        self.0.store(self.1, Ordering::Relaxed);
    }
}

impl Lent {
    /// Lends a caller while `run` runs.
    pub fn lend<R>(&self, caller: &mut Caller<'_, '_>, run: impl FnOnce() -> R) -> R {
        let address = ptr::from_mut(caller).cast::<()>();
        let before = self.0.swap(address, Ordering::Relaxed);
        let _put_back = PutBack(&self.0, before);
        run()
    }

    /// Hands the caller to whom it is lent; `None` where there is none, or it is in use.
    pub fn with<R>(&self, make_use: impl FnOnce(&mut Caller<'_, '_>) -> R) -> Option<R> {
        let address = self.0.swap(ptr::null_mut(), Ordering::Relaxed);
        if address.is_null() {
            return None;
        }
        let _put_back = PutBack(&self.0, address);
        // SAFETY: the address was taken in `lend` from a reference that is borrowed until
        // `run` returns, and stands here only until then. `run` is where the interpreter
        // works, whose functions alone come here, on the same thread. While it is in use it
        // does not stand here, so nobody comes by it twice; and what uses it cannot keep
        // it, for it is good for lifetimes that are not named.
        let caller = unsafe { &mut *address.cast::<Caller<'_, '_>>() };
        Some(make_use(caller))
    }
}
