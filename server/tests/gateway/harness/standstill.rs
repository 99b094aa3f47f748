use super::{Client, Running, Serving, WORKERS, sub, until};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};
use tidings_server::Builder;

/// Can have every worker stand still, as those of a machine that is paused, until it is dropped: by an authorizer as none
/// should be, which holds up the thread that asks it.
pub(crate) struct Standstill {
    standing: Arc<AtomicUsize>,
    _go_on: mpsc::Sender<()>,
    /// One on each worker.
    clients: [Client; WORKERS],
}

impl Standstill {
    /// A gateway that is being served, to which nobody has come but those who will stop its workers.
    pub(crate) async fn prepare(serving: Serving, builder: Builder) -> (Running, Self) {
        let standing = Arc::<AtomicUsize>::default();
        let (go_on, told) = mpsc::channel::<()>();
        let (told, counted) = (Mutex::new(told), standing.clone());
        let builder = builder.authorize("standstill", move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = told.lock().expect("no panic").recv();
            async { true }
        });
        let server = Running::start(serving, builder);
        let clients = [Client::connect(&server).await, Client::connect(&server).await];
        (server, Self { standing, _go_on: go_on, clients })
    }

    pub(crate) async fn begin(&mut self) {
        for client in &mut self.clients {
            client.send(sub("standstill")).await;
        }
        until("all workers stand still", || self.standing.load(Ordering::SeqCst) == WORKERS).await;
    }
}
