//! The TCP listeners as they are now: opened, and changed by CONFIG SET.

use std::io;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use socket2::{SockRef, Socket};
use tokio::runtime;
use tokio::task::AbortHandle;

use super::listener::{self, Listener};
use super::worker::Handle;
use crate::config::param;
use crate::exec::engine::Engine;
use crate::warning;

/// See the head of this file.
pub struct Acceptors {
    /// Where clients are taken in.
    runtime: runtime::Handle,
    engine: Weak<Engine>,
    workers: Arc<[Handle]>,
    open: Mutex<Vec<Acceptor>>,
}

struct Acceptor {
    /// The listening socket once more, to be closed at once.
    socket: Option<Socket>,
    task: AbortHandle,
}

impl Acceptors {
    /// Those that run on the runtime of this thread.
    pub fn new(engine: &Arc<Engine>, workers: Arc<[Handle]>) -> Acceptors {
        Acceptors {
            runtime: runtime::Handle::current(),
            engine: Arc::downgrade(engine),
            workers,
            open: Mutex::default(),
        }
    }

    /// Takes clients in from now on.
    pub fn open(&self, listener: Listener) {
        let Some(engine) = self.engine.upgrade() else {
            return;
        };
        let socket = match &listener {
            Listener::Tcp(tcp) => SockRef::from(tcp).try_clone().ok(),
            Listener::Unix(..) => None,
        };
        let accept = listener::accept(listener, engine, self.workers.clone());
        let task = self.runtime.spawn(accept).abort_handle();
        self.open.lock().push(Acceptor { socket, task });
    }

    /// Listens where the settings say, and nowhere else by TCP. On an error it
    /// listens nowhere.
    ///
    /// # Errors
    /// An address that is not there or is taken; it is logged.
    pub fn rebind(&self) -> io::Result<()> {
        let Some(engine) = self.engine.upgrade() else {
            return Ok(());
        };
        self.close_tcp();
        let settings = &engine.settings;
        let Ok(port @ 1..) = u16::try_from(settings.int(param::PORT)) else {
            return Ok(());
        };
        let backlog = settings.int(param::TCP_BACKLOG) as i32;
        let bound = {
            let _on = self.runtime.enter();
            listener::bind_tcp(&settings.bind(), port, backlog)
        };
        match bound {
            Ok(listeners) => {
                listeners.into_iter().for_each(|one| self.open(one));
                Ok(())
            }
            Err((address, error)) => {
                warning!("Could not create server TCP listening socket {address}: bind: {error}");
                Err(error)
            }
        }
    }

    fn close_tcp(&self) {
        self.open.lock().retain(|acceptor| {
            let Some(socket) = &acceptor.socket else {
                return true;
            };
            // The task's own socket goes a moment later, which would be too late
            // for who binds the address again.
            if let Err(error) = socket.shutdown(std::net::Shutdown::Both) {
                warning!("A listening socket could not be closed: {error}");
            }
            acceptor.task.abort();
            false
        });
    }

    /// Takes nobody in any more.
    pub fn close(&self) {
        for acceptor in self.open.lock().drain(..) {
            acceptor.task.abort();
        }
    }
}
