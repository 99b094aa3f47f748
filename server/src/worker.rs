//! The listener's worker threads. The first one accepts, and deals the connections out in turn.
//!
//! As a rule a plain connection's request is there when the connection is. Read at once, an ordinary WebSocket handshake goes
//! straight to the worker's hub; everything else, whole or not, goes to the HTTP service with what was read.

use crate::{peeked::Peeked, upgrade::Entrance};
use actix_http::Protocol;
use actix_rt::System;
use actix_service::Service;
use actix_web::HttpRequest;
use bytes::Bytes;
use futures_util::future::select;
use socket2::SockRef;
use std::{
    cell::Cell,
    future::poll_fn,
    io::{self, ErrorKind, Read},
    iter::once,
    net::{self, SocketAddr},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    rc::Rc,
    sync::Arc,
    thread,
    time::Duration,
};
use tokio::{
    io::Interest,
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::{
        OwnedSemaphorePermit, Semaphore,
        mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
        oneshot,
    },
    time::{sleep, timeout},
};

/// Connections of one worker that are no WebSockets, or not yet; above it new ones wait in the kernel.
pub(crate) const MAX_REQUESTS: usize = 25_600;

/// Threads of all workers together for what blocks, such as reading files.
const BLOCKING_THREADS: usize = 512;

/// How long the workers have to finish what they are at when the server stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

/// How long nothing is accepted when the system has no room for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// How much of a request is read before it is known who takes it.
const HEAD_BYTES: usize = 8 * 1024;

/// A connection for another worker.
struct Arrival {
    stream: net::TcpStream,
    peer: SocketAddr,
    place: Place,
}

/// A connection's place among those that speak HTTP.
pub(crate) struct Place(Cell<Option<OwnedSemaphorePermit>>);

/// Gives back the place of a request's connection, which is to be a WebSocket.
pub(crate) fn leave_place(request: &HttpRequest) {
    if let Some(place) = request.conn_data::<Rc<Place>>() {
        drop(place.0.take());
    }
}

/// Places for connections, over all workers.
#[derive(Clone)]
struct Places {
    free: Arc<Semaphore>,
    count: u32,
}

/// Worker threads at work. They stop to accept when this is dropped.
pub(crate) struct Workers {
    open: oneshot::Sender<()>,
    running: Vec<oneshot::Receiver<()>>,
}

impl Workers {
    /// Starts `count` threads over `listener`, which does not block, for `requests` connections at a time that speak HTTP.
    /// `begin` is called on each of them.
    pub(crate) async fn start<F, R>(
        count: usize,
        requests: usize,
        listener: net::TcpListener,
        begin: F,
    ) -> io::Result<Self>
    where
        F: AsyncFn() -> io::Result<R> + Clone + Send + 'static,
        R: Reception,
    {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let count_places = requests.min(most);
        let places = Places { free: Arc::new(Semaphore::new(count_places)), count: count_places as u32 };
        let (open, closed) = oneshot::channel();
        let (others, inboxes): (Vec<_>, Vec<_>) = (1..count).map(|_| unbounded_channel()).unzip();
        let first = Arrivals::Listener { listener, others, closed };
        let mut running = Vec::new();
        let mut starting = Vec::new();
        for (n, arrivals) in once(first).chain(inboxes.into_iter().map(Arrivals::Dealt)).enumerate() {
            let (started, start) = oneshot::channel();
            let (end, ended) = oneshot::channel();
            let (begin, places, system) = (begin.clone(), places.clone(), System::try_current());
            thread::Builder::new().name(format!("tidings-worker-{n}")).spawn(move || {
                // What the application does on this thread may ask for the system it runs in.
                system.into_iter().for_each(System::set_current);
                match runtime(count) {
                    Ok(runtime) => runtime.block_on(work(arrivals, begin, places, started)),
                    Err(error) => drop(started.send(Err(error))),
                }
                drop(end);
            })?;
            starting.push(start);
            running.push(ended);
        }
        for start in starting {
            start.await.unwrap_or_else(|_| Err(io::Error::other("a worker panicked as it started")))?;
        }
        Ok(Self { open, running })
    }

    /// Accepts no more, waits a while for requests that are being answered, and ends the threads.
    pub(crate) async fn stop(self) {
        drop(self.open);
        for ended in self.running {
            // An error: it has dropped its end.
            ended.await.unwrap_or_default();
        }
    }
}

fn runtime(workers: usize) -> io::Result<actix_rt::Runtime> {
    let threads = (BLOCKING_THREADS / workers).max(1);
    let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(threads).build()?;
    Ok(runtime.into())
}

/// Takes a worker's connections.
pub(crate) trait Reception {
    fn take(&mut self, stream: TcpStream, peer: SocketAddr, place: Place);

    /// Takes no more, and waits for those that have left their place and are not at their end.
    async fn emptied(self);
}

/// What an HTTP service takes.
pub(crate) type Readable<S> = (Peeked<S>, Protocol, Option<SocketAddr>);

/// Speaks HTTP until the connection ends or is handed on.
pub(crate) async fn serve<S>(http: &impl Service<Readable<S>>, stream: Peeked<S>, peer: SocketAddr) {
    // It logs its errors itself.
    if poll_fn(|cx| http.poll_ready(cx)).await.is_ok() {
        let _ = http.call((stream, Protocol::Http1, Some(peer))).await;
    }
}

/// Where a worker gets its connections from.
enum Arrivals {
    /// It accepts for all.
    Listener {
        listener: net::TcpListener,
        others: Vec<UnboundedSender<Arrival>>,
        closed: oneshot::Receiver<()>,
    },
    /// As many as there are places, at most.
    Dealt(UnboundedReceiver<Arrival>),
}

/// A worker's life.
async fn work<R: Reception>(
    arrivals: Arrivals,
    begin: impl AsyncFn() -> io::Result<R>,
    places: Places,
    started: oneshot::Sender<io::Result<()>>,
) {
    let mut reception = match begin().await {
        Ok(reception) => reception,
        Err(error) => return drop(started.send(Err(error))),
    };
    match arrivals {
        Arrivals::Listener { listener, others, closed } => {
            let listener = match TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(error) => return drop(started.send(Err(error))),
            };
            drop(started.send(Ok(())));
            let accepting = pin!(accept(&listener, &others, &places, &mut reception));
            select(closed, accepting).await;
        }
        Arrivals::Dealt(mut inbox) => {
            drop(started.send(Ok(())));
            while let Some(arrival) = inbox.recv().await {
                let Arrival { stream, peer, place } = arrival;
                if let Ok(stream) = TcpStream::from_std(stream) {
                    reception.take(stream, peer, place);
                }
            }
        }
    }
    let finished = async {
        let _ = places.free.acquire_many(places.count).await;
        reception.emptied().await;
    };
    let _ = timeout(SHUTDOWN_TIMEOUT, finished).await;
}

/// Accepts for ever; the first worker is this one.
async fn accept(
    listener: &TcpListener,
    others: &[UnboundedSender<Arrival>],
    places: &Places,
    reception: &mut impl Reception,
) {
    for turn in (0..=others.len()).cycle() {
        let Ok(place) = places.free.clone().acquire_owned().await else { return };
        let place = Place(Cell::new(Some(place)));
        let (stream, peer) = loop {
            match listener.accept().await {
                Ok(accepted) => break accepted,
                Err(error) if is_the_peers(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "no connection can be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        match others.get(turn) {
            Some(other) => {
                // It is registered with the runtime of the thread that it lives on.
                if let Ok(stream) = stream.into_std() {
                    drop(other.send(Arrival { stream, peer, place }));
                }
            }
            None => reception.take(stream, peer, place),
        }
    }
}

/// Whether an error concerns one connection, which is gone.
fn is_the_peers(error: &io::Error) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Finds out what a plain connection is for.
pub(crate) struct PlainReception<S> {
    entrance: Entrance,
    http: Rc<S>,
    buffer: Vec<u8>,
}

impl<S> PlainReception<S> {
    pub(crate) fn new(entrance: Entrance, http: S) -> Self {
        Self { entrance, http: Rc::new(http), buffer: vec![0; HEAD_BYTES] }
    }
}

impl<S> Reception for PlainReception<S>
where
    S: Service<Readable<TcpStream>> + 'static,
{
    fn take(&mut self, stream: TcpStream, peer: SocketAddr, place: Place) {
        // Not by way of the runtime, which has yet to hear of a socket that came from another worker.
        let read = match (&*SockRef::from(&stream)).read(&mut self.buffer) {
            Ok(0) => return,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => 0,
            Err(_) => return,
        };
        if read < self.buffer.len() {
            // It takes a socket of its own to be ready, until it hears that there is nothing more to read.
            let nothing = || Err::<(), _>(ErrorKind::WouldBlock.into());
            let _ = stream.try_io(Interest::READABLE, nothing);
        }
        let read = &self.buffer[..read];
        // A panic is one of the application's, and concerns this connection alone.
        let entered = catch_unwind(AssertUnwindSafe(|| self.entrance.enter(stream, peer, read)));
        let Ok(Some(stream)) = entered else { return };
        let stream = Peeked::new(Bytes::copy_from_slice(read), stream, place);
        let http = self.http.clone();
        actix_rt::spawn(async move { serve(&*http, stream, peer).await });
    }

    /// None has left it that the worker would still have to do with.
    async fn emptied(self) {}
}
