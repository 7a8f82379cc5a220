//! What the services above this layer keep: one of a kind for the server, one of
//! a kind for a session. Found by its type, for nothing here knows any of them.

use std::any::{Any, TypeId};
use std::sync::{Arc, OnceLock};

use super::engine::Engine;

/// Kinds of services that there can be.
const SERVICES_MAX: usize = 16;

/// Something of which the server has one, made when it is first asked for.
pub trait Service: Any + Send + Sync {
    /// That of a server.
    fn new(engine: &Engine) -> Arc<Self>
    where
        Self: Sized;
}

/// The server's services.
#[derive(Default)]
pub struct Services {
    /// Filled from the front.
    slots: [OnceLock<Slot>; SERVICES_MAX],
}

struct Slot {
    kind: TypeId,
    /// An `Arc` of that kind.
    service: Box<dyn Any + Send + Sync>,
}

impl Engine {
    /// The service of a kind. No lock is taken, but where it is made.
    ///
    /// # Panics
    /// Where there are more kinds than [`SERVICES_MAX`].
    pub fn service<T: Service>(&self) -> &Arc<T> {
        let make = || Slot {
            kind: TypeId::of::<T>(),
            service: Box::new(T::new(self)),
        };
        self.services
            .slots
            .iter()
            .map(|slot| slot.get_or_init(make))
            .find(|slot| slot.kind == TypeId::of::<T>())
            .and_then(|slot| slot.service.downcast_ref())
            .expect("fewer kinds of services than slots")
    }
}

/// What services keep of a session. It goes with the session.
#[derive(Default)]
pub struct Extensions(Vec<Box<dyn Any + Send + Sync>>);

impl Extensions {
    /// That of a kind, made where it is not there.
    pub fn get_or_insert_with<T: Any + Send + Sync>(&mut self, make: impl FnOnce() -> T) -> &mut T {
        let at = self.0.iter().position(|one| one.is::<T>());
        let at = at.unwrap_or_else(|| {
            self.0.push(Box::new(make()));
            self.0.len() - 1
        });
        self.0[at].downcast_mut().expect("it was found by its type")
    }

    /// Takes that of a kind away.
    pub fn remove<T: Any + Send + Sync>(&mut self) -> Option<Box<T>> {
        let at = self.0.iter().position(|one| one.is::<T>())?;
        self.0.swap_remove(at).downcast().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testkit::Kit;

    struct One;
    struct Other;

    impl Service for One {
        fn new(_: &Engine) -> Arc<One> {
            Arc::new(One)
        }
    }

    impl Service for Other {
        fn new(_: &Engine) -> Arc<Other> {
            Arc::new(Other)
        }
    }

    #[test]
    fn there_is_one_of_each_kind_whoever_asks_first() {
        let engine = &Kit::new().engine;
        let ask = || {
            let other = Arc::as_ptr(engine.service::<Other>()) as usize;
            (Arc::as_ptr(engine.service::<One>()) as usize, other)
        };
        let found = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(ask)).collect();
            let join = |t: std::thread::ScopedJoinHandle<'_, _>| t.join().expect("no panic");
            threads.into_iter().map(join).collect::<Vec<_>>()
        });
        assert!(found.iter().all(|one| *one == ask()));
    }

    #[test]
    fn a_session_keeps_one_of_each_kind() {
        let mut all = Extensions::default();
        assert_eq!(*all.get_or_insert_with(|| 1u32), 1);
        assert_eq!(*all.get_or_insert_with(|| 2u32), 1);
        assert_eq!(*all.get_or_insert_with(|| 3u64), 3);
        assert_eq!(all.remove::<u32>().as_deref(), Some(&1));
        assert_eq!(all.remove::<u32>(), None);
        assert_eq!(all.remove::<u64>().as_deref(), Some(&3));
    }
}
