//! What lies between clients and a gateway: an address that stays, and connections that suffer.

use std::{
    cell::{Cell, RefCell},
    net::{Ipv4Addr, SocketAddr},
    rc::Rc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    select,
    task::spawn_local,
    time::sleep,
};

/// The longest that a piece is held back, in milliseconds.
const SLOWEST: u64 = 15;

/// A connection suffers after at most so many bytes in one direction.
const FATE: u64 = 6_000;

pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    behind: Cell<SocketAddr>,
    /// Whether connections suffer.
    stormy: Cell<bool>,
    random: RefCell<fastrand::Rng>,
    /// How many were cut, reset and black-holed.
    pub(crate) suffered: Cell<u64>,
}

#[derive(Clone, Copy)]
enum Fate {
    /// The end comes in the middle of a frame.
    Cut,
    /// Nothing arrives any more, and nobody is told.
    Hole,
    Reset,
}

impl Proxy {
    pub(crate) async fn start(behind: SocketAddr, seed: Option<u64>) -> Rc<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let proxy = Rc::new(Self {
            address: listener.local_addr().expect("an address"),
            behind: Cell::new(behind),
            stormy: Cell::new(seed.is_some()),
            random: RefCell::new(fastrand::Rng::with_seed(seed.unwrap_or_default())),
            suffered: Cell::new(0),
        });
        let accepting = proxy.clone();
        spawn_local(async move {
            while let Ok((near, _)) = listener.accept().await {
                spawn_local(accepting.clone().carry(near));
            }
        });
        proxy
    }

    /// From here on connections lead there.
    pub(crate) fn lead_to(&self, address: SocketAddr) {
        self.behind.set(address);
    }

    /// From here on nothing suffers.
    pub(crate) fn calm(&self) {
        self.stormy.set(false);
    }

    fn below(&self, n: u64) -> u64 {
        self.random.borrow_mut().u64(..n)
    }

    async fn carry(self: Rc<Self>, near: TcpStream) {
        let Ok(far) = TcpStream::connect(self.behind.get()).await else { return };
        for stream in [&near, &far] {
            stream.set_nodelay(true).expect("a socket option");
        }
        let (near_in, near_out) = near.into_split();
        let (far_in, far_out) = far.into_split();
        let mut up = spawn_local(self.clone().pipe(near_in, far_out));
        let mut down = spawn_local(self.pipe(far_in, near_out));
        // The first one to suffer takes the other along.
        let end = select! { end = &mut up => end, end = &mut down => end };
        if end.is_ok_and(|suffered| suffered) {
            up.abort();
            down.abort();
        }
    }

    /// Whether it suffered.
    async fn pipe(self: Rc<Self>, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> bool {
        let mut left = 200 + self.below(FATE);
        let fate = [Fate::Cut, Fate::Hole, Fate::Reset][self.below(3) as usize];
        let mut buffer = [0; 4_096];
        loop {
            let Ok(read @ 1..) = from.read(&mut buffer).await else {
                drop(to.shutdown().await);
                return false;
            };
            let mut piece = &buffer[..read];
            if self.stormy.get() {
                if self.below(4) == 0 {
                    sleep(Duration::from_millis(self.below(SLOWEST))).await;
                }
                if left < read as u64 {
                    self.suffered.set(self.suffered.get() + 1);
                    match fate {
                        Fate::Reset => return true,
                        Fate::Hole => {
                            sleep(Duration::from_secs(20)).await;
                            return true;
                        }
                        Fate::Cut => {
                            drop(to.write_all(&piece[..left as usize]).await);
                            return true;
                        }
                    }
                }
                left -= read as u64;
                if self.below(4) == 0 {
                    let (first, rest) = piece.split_at(self.below(read as u64) as usize);
                    if to.write_all(first).await.is_err() {
                        return false;
                    }
                    tokio::task::yield_now().await;
                    piece = rest;
                }
            }
            if to.write_all(piece).await.is_err() {
                return false;
            }
        }
    }
}
