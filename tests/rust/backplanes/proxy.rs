//! What lies between a node and its server: an address that stays, and a link that fails.

use parking_lot::Mutex;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};

/// A TCP proxy. A clone is the same proxy. It ends with the runtime of its test.
#[derive(Clone)]
pub(crate) struct Proxy {
    address: SocketAddr,
    behind: Arc<Mutex<SocketAddr>>,
    link: watch::Sender<Link>,
    refused: Arc<AtomicUsize>,
}

#[derive(Clone, Copy, Default)]
struct Link {
    /// How often every connection was cut.
    cuts: u64,
    /// Whether bytes vanish, in both directions, and nobody is told.
    hole: bool,
    /// Whether new connections are closed at once.
    refuses: bool,
    /// How long what the server says is on its way.
    delay: Duration,
}

impl Proxy {
    pub(crate) async fn start(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let proxy = Self {
            address: listener.local_addr().expect("an address"),
            behind: Arc::new(Mutex::new(behind)),
            link: watch::Sender::default(),
            refused: Arc::default(),
        };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(accepting.clone().carry(near));
            }
        });
        proxy
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many are open.
    pub(crate) fn connections(&self) -> usize {
        self.link.receiver_count()
    }

    /// Resets every connection that is open now.
    pub(crate) fn cut(&self) {
        self.link.send_modify(|link| link.cuts += 1);
    }

    /// Lets bytes vanish, or pass again. What has vanished is gone: a connection that lost some is cut when bytes pass again.
    pub(crate) fn hole(&self, hole: bool) {
        self.link.send_modify(|link| link.hole = hole);
    }

    /// Closes new connections at once, or takes them again.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.link.send_modify(|link| link.refuses = refuses);
    }

    /// How many were closed at once.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }

    /// Hands on what the server says so much later.
    pub(crate) fn delay(&self, delay: Duration) {
        self.link.send_modify(|link| link.delay = delay);
    }

    /// From here on connections lead there.
    pub(crate) fn lead_to(&self, behind: SocketAddr) {
        *self.behind.lock() = behind;
    }

    async fn carry(self, mut near: TcpStream) {
        let mut link = self.link.subscribe();
        let born = *link.borrow();
        // Closing resets: what is on its way is lost.
        near.set_zero_linger().expect("a socket option");
        if born.refuses {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let behind = *self.behind.lock();
        let Ok(mut far) = TcpStream::connect(behind).await else { return };
        far.set_zero_linger().expect("a socket option");
        for stream in [&near, &far] {
            stream.set_nodelay(true).expect("a socket option");
        }
        let (mut up, mut down) = ([0; 16_384], [0; 16_384]);
        let mut lost = false;
        loop {
            let passed = tokio::select! {
                biased;
                changed = link.changed() => {
                    let now = *link.borrow();
                    if changed.is_err() || now.cuts != born.cuts || (lost && !now.hole) {
                        return;
                    }
                    continue;
                }
                read = near.read(&mut up) => (read, true),
                read = far.read(&mut down) => (read, false),
            };
            let Link { hole, delay, .. } = *link.borrow();
            if !passed.1 && !delay.is_zero() {
                sleep(delay).await;
            }
            match passed {
                (Ok(1..), _) if hole => lost = true,
                (Ok(read @ 1..), true) if far.write_all(&up[..read]).await.is_ok() => {}
                (Ok(read @ 1..), false) if near.write_all(&down[..read]).await.is_ok() => {}
                // In a hole nobody hears of the end either.
                _ if hole => {
                    while link.borrow_and_update().hole {
                        if link.changed().await.is_err() {
                            return;
                        }
                    }
                    return;
                }
                _ => return,
            }
        }
    }
}
