//! Workers: operating-system threads, each with a runtime of its own on which
//! the connections that it was given live until they end.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::connection::{self, Connection};
use super::stream::Accepted;
use crate::base::processors;
use crate::config::param;
use crate::exec::engine::Engine;
use crate::exec::session::{Client, Session};
use crate::warning;

/// A connection on its way to its worker.
pub struct Delivery {
    /// The socket.
    pub stream: Accepted,
    /// Whose it is.
    pub client: Arc<Client>,
    /// Whether it need not say who it is.
    pub authenticated: bool,
}

/// What the acceptor has of a worker.
pub struct Handle {
    sender: UnboundedSender<Delivery>,
}

/// Starts worker number `index`. `cron` is run on its runtime beside the
/// connections, until the end.
///
/// # Errors
/// No thread or no reactor to be had.
pub fn start<F>(
    engine: Arc<Engine>,
    index: usize,
    cron: impl FnOnce(Arc<Engine>, usize) -> F + Send + 'static,
) -> io::Result<(Handle, JoinHandle<()>)>
where
    F: Future<Output = ()> + Send + 'static,
{
    let (sender, receiver) = unbounded_channel();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .event_interval(128)
        .build()?;
    let thread = thread::Builder::new()
        .name(format!("worker-{index}"))
        .spawn(move || {
            connection::prepare_thread();
            engine.be_worker(index);
            let list = engine.settings.text(param::SERVER_CPULIST);
            if let Err(error) = processors::keep_to(&String::from_utf8_lossy(&list)) {
                warning!("Worker {index} runs on any processor: {error}");
            }
            let cron = cron(engine.clone(), index);
            // Set once, by this thread.
            let _ = engine.workers[index].runtime.set(runtime.metrics());
            runtime.block_on(async move {
                tokio::spawn(cron);
                let for_bell = engine.clone();
                tokio::spawn(async move { for_bell.workers[index].bell.ring().await });
                serve(engine, receiver).await;
            });
        })?;
    Ok((Handle { sender }, thread))
}

async fn serve(engine: Arc<Engine>, mut receiver: UnboundedReceiver<Delivery>) {
    loop {
        let delivery = tokio::select! {
            delivery = receiver.recv() => delivery,
            () = engine.shutdown.ended() => return,
        };
        let Some(delivery) = delivery else {
            return;
        };
        let client = delivery.client;
        match delivery.stream.register() {
            Ok(stream) => {
                let session = Session::new(client, delivery.authenticated);
                tokio::spawn(Connection::new(stream, engine.clone(), session));
            }
            Err(error) => {
                warning!("A connection could not be registered: {error}");
                engine.clients.remove(client.id);
                let connections = &engine.workers[client.worker].connections;
                connections.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

impl Handle {
    /// Gives the worker a connection; it counts from now on.
    pub fn give(&self, engine: &Engine, delivery: Delivery) {
        let client = delivery.client.clone();
        let connections = &engine.workers[client.worker].connections;
        connections.fetch_add(1, Ordering::Relaxed);
        // A worker that is gone is one of a process that ends.
        if self.sender.send(delivery).is_err() {
            engine.clients.remove(client.id);
            connections.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
