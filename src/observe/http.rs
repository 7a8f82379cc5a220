//! The HTTP endpoint: `/metrics` for Prometheus, `/health` for whoever supervises the
//! server.
//!
//! It has a thread and an event loop of its own, made when a port is first opened, so
//! that no scrape ever holds a worker. Nothing can be changed by it. What a stranger can
//! make it do is bounded: [`CONNECTIONS_MAX`] connections at a time, each for at most
//! [`CONNECTION_MAX`]; the head of a request within [`HEAD_MAX`], [`HEAD_BYTES_MAX`] and
//! [`HEADERS_MAX`]; a body is not read.

use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::runtime::{self, Handle};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::health::Health;
use super::{metrics, prometheus};
use crate::base::listen;
use crate::config::param;
use crate::exec::engine::Engine;
use crate::exec::services::Service;
use crate::{notice, verbose, warning};

/// Connections at a time. One more is closed at once. They come out of the few file
/// descriptors that the server keeps for itself beside its clients.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may last.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// How long the answer that is under way then may still take.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// How long the head of a request may take, and a connection may be idle.
const HEAD_MAX: Duration = Duration::from_secs(10);
/// Bytes of the head of a request.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// How long to wait when the process has no descriptor left.
const NO_DESCRIPTOR_PAUSE: Duration = Duration::from_millis(100);
/// Connections that the kernel queues before they are accepted.
const BACKLOG: i32 = 64;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const HTML: &str = "text/html; charset=utf-8";

/// What a browser sees that was led here.
const INDEX: &str = "<!doctype html>\n<title>Larder</title>\n<h1>Larder</h1>\n<ul>\n\
    <li><a href=\"/metrics\">/metrics</a>: figures for Prometheus\n\
    <li><a href=\"/health\">/health</a>: whether the server is well\n</ul>\n";

/// See the head of this file. One for the server.
pub struct Http {
    /// Where it runs, and for whom; nothing before the first port is opened.
    running: Mutex<Option<Handle>>,
    /// Nobody where the server runs without sockets.
    engine: Mutex<Weak<Engine>>,
    open: Mutex<Vec<Open>>,
    /// Clients are taken in.
    serving: AtomicBool,
    connections: Arc<Semaphore>,
}

/// A listening socket.
struct Open {
    /// The socket once more, to be closed at once.
    socket: TcpListener,
    task: AbortHandle,
}

impl Service for Http {
    fn new(_: &Engine) -> Arc<Http> {
        Arc::new(Http {
            running: Mutex::default(),
            engine: Mutex::default(),
            open: Mutex::default(),
            serving: AtomicBool::new(false),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
        })
    }
}

/// Listens where the settings say. A port that is taken is logged, and the server does
/// without: it may be one of many on its machine.
pub fn start(engine: &Arc<Engine>) {
    let http = engine.service::<Http>();
    *http.engine.lock() = Arc::downgrade(engine);
    // What it says is logged.
    let _ = rebind(engine);
}

/// Says that clients are taken in from now on.
pub fn note_serving(engine: &Engine) {
    let http = engine.service::<Http>();
    http.serving.store(true, Ordering::Release);
}

/// Listens where the settings say, and nowhere else. On an error it listens nowhere.
/// Nothing to do before [`start`].
///
/// # Errors
/// An address that is not there or is taken; it is logged.
pub fn rebind(engine: &Engine) -> io::Result<()> {
    let http = engine.service::<Http>();
    let Some(engine) = http.engine.lock().upgrade() else {
        return Ok(());
    };
    http.close();
    let settings = &engine.settings;
    let Ok(port @ 1..) = u16::try_from(settings.int(param::HTTP_PORT)) else {
        return Ok(());
    };
    let addresses = settings.addresses(param::HTTP_BIND);
    let opened = listen::tcp(&addresses, port, BACKLOG).and_then(|listeners| {
        listeners
            .into_iter()
            .try_for_each(|one| http.open(&engine, one))
            .map_err(|error| (format!("port {port}"), error))
    });
    if let Err((address, error)) = &opened {
        http.close();
        warning!("HTTP (/metrics, /health) is not answered on {address}: {error}");
    }
    opened.map_err(|(_, error)| error)
}

impl Http {
    /// Answers whoever comes by this socket.
    fn open(self: &Arc<Http>, engine: &Arc<Engine>, listener: TcpListener) -> io::Result<()> {
        let handle = self.handle()?;
        let socket = listener.try_clone()?;
        let address = listener.local_addr()?;
        let listener = {
            let _on = handle.enter();
            tokio::net::TcpListener::from_std(listener)?
        };
        let (http, engine) = (self.clone(), Arc::downgrade(engine));
        let task = handle.spawn(accept(listener, http, engine)).abort_handle();
        self.open.lock().push(Open { socket, task });
        notice!("HTTP is answered on {address}: /metrics, /health");
        Ok(())
    }

    fn close(&self) {
        for Open { socket, task } in self.open.lock().drain(..) {
            task.abort();
            // The task's own socket goes a moment later, which would be too late for
            // who binds the address again.
            if let Err(error) = socket2::SockRef::from(&socket).shutdown(Shutdown::Both) {
                warning!("A listening socket could not be closed: {error}");
            }
        }
    }

    /// The event loop, begun where there is none.
    fn handle(&self) -> io::Result<Handle> {
        let mut running = self.running.lock();
        if let Some(handle) = &*running {
            return Ok(handle.clone());
        }
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let run = move || runtime.block_on(std::future::pending::<()>());
        thread::Builder::new().name("http".into()).spawn(run)?;
        *running = Some(handle.clone());
        Ok(handle)
    }
}

/// Takes in whoever comes; runs until it is dropped.
async fn accept(listener: tokio::net::TcpListener, http: Arc<Http>, engine: Weak<Engine>) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // Dropped, it is closed.
                let Ok(permit) = http.connections.clone().try_acquire_owned() else {
                    continue;
                };
                let (http, engine) = (http.clone(), engine.clone());
                tokio::spawn(async move {
                    serve(stream, from, &http, &engine).await;
                    drop(permit);
                });
            }
            Err(error) => {
                warning!("Error accepting an HTTP connection: {error}");
                tokio::time::sleep(NO_DESCRIPTOR_PAUSE).await;
            }
        }
    }
}

async fn serve(stream: TcpStream, from: SocketAddr, http: &Http, engine: &Weak<Engine>) {
    let answer = |request: Request<Incoming>| {
        let is_serving = http.serving.load(Ordering::Acquire);
        let response = match engine.upgrade() {
            Some(engine) => respond(&engine, is_serving, request.method(), request.uri().path()),
            None => plain(StatusCode::SERVICE_UNAVAILABLE, TEXT, "gone\n".into()),
        };
        std::future::ready(Ok::<_, Infallible>(response))
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(stream), service_fn(answer));
    tokio::pin!(connection);
    let ended = match tokio::time::timeout(CONNECTION_MAX, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            let ended = tokio::time::timeout(FAREWELL_MAX, connection).await;
            ended.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        verbose!("HTTP connection of {from}: {error}");
    }
}

/// The answer to a request.
fn respond(
    engine: &Engine,
    is_serving: bool,
    method: &Method,
    path: &str,
) -> Response<Full<Bytes>> {
    if ![Method::GET, Method::HEAD].contains(method) {
        let text = "only GET and HEAD are answered\n".into();
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, TEXT, text);
        let allowed = HeaderValue::from_static("GET, HEAD");
        response.headers_mut().insert(ALLOW, allowed);
        return response;
    }
    match path {
        "/metrics" => plain(
            StatusCode::OK,
            prometheus::CONTENT_TYPE,
            metrics::render(engine),
        ),
        "/health" => {
            let health = Health::of(engine, is_serving);
            let status = match health.is_serious() {
                true => StatusCode::SERVICE_UNAVAILABLE,
                false => StatusCode::OK,
            };
            plain(status, JSON, health.to_json(engine))
        }
        "/" => plain(StatusCode::OK, HTML, INDEX.into()),
        _ => plain(
            StatusCode::NOT_FOUND,
            TEXT,
            "there is no such page\n".into(),
        ),
    }
}

fn plain(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::testkit::Kit;

    #[test]
    fn each_path_has_its_answer() {
        let kit = Kit::new();
        let ask = |method: Method, path: &str| {
            let response = respond(&kit.engine, true, &method, path);
            let kind = response.headers()[CONTENT_TYPE].to_str().expect("text");
            (response.status().as_u16(), kind.to_owned())
        };
        assert_eq!(
            ask(Method::GET, "/metrics"),
            (200, prometheus::CONTENT_TYPE.into())
        );
        assert_eq!(ask(Method::HEAD, "/health"), (200, JSON.into()));
        assert_eq!(ask(Method::GET, "/"), (200, HTML.into()));
        assert_eq!(ask(Method::GET, "/nothing").0, 404);
        assert_eq!(ask(Method::POST, "/metrics").0, 405);
        let response = respond(&kit.engine, false, &Method::GET, "/health");
        assert_eq!(response.status().as_u16(), 503);
    }

    #[test]
    fn an_engine_without_sockets_opens_none() {
        let mut kit = Kit::new();
        assert_eq!(kit.run("config set http-port 1"), "+OK\r\n");
        assert!(kit.engine.service::<Http>().open.lock().is_empty());
    }
}
