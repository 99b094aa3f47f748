use super::{Client, Running, WORKERS, sub, until};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
    mpsc,
};
use tidings_server::Builder;

/// Has every worker stand still, as those of a machine that is paused, until it is dropped: by an authorizer as none should
/// be, which holds up the thread that asks it.
pub(crate) struct Standstill {
    standing: Arc<AtomicUsize>,
    _go_on: mpsc::Sender<()>,
    /// One on each worker.
    clients: Vec<Client>,
}

impl Standstill {
    /// One to come, of the gateway that is built.
    pub(crate) fn of(builder: Builder) -> (Self, Builder) {
        let standing = Arc::<AtomicUsize>::default();
        let (go_on, told) = mpsc::channel::<()>();
        let (told, counted) = (Mutex::new(told), standing.clone());
        let builder = builder.authorize("standstill", move |_, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            let _ = told.lock().expect("no panic").recv();
            async { true }
        });
        (Self { standing, _go_on: go_on, clients: Vec::new() }, builder)
    }

    pub(crate) async fn begin(mut self, server: &Running) -> Self {
        for _ in 0..WORKERS {
            self.clients.push(Client::connect(server).await);
        }
        for client in &mut self.clients {
            client.send(sub("standstill")).await;
        }
        until("all workers stand still", || self.standing.load(Ordering::SeqCst) == WORKERS).await;
        self
    }
}
