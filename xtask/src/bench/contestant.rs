//! Who is measured.

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Contestant {
    /// One write(2) per delivery, no protocol.
    Floor,
    Tidings,
    Bun,
    Nats,
    Nchan,
    Ws,
    SocketIo,
}

impl Contestant {
    pub(super) const ALL: [Self; 7] =
        [Self::Floor, Self::Tidings, Self::Bun, Self::Nats, Self::Nchan, Self::Ws, Self::SocketIo];

    /// On the command line and in the results.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Tidings => "tidings",
            Self::Bun => "bun",
            Self::Nats => "nats",
            Self::Nchan => "nchan",
            Self::Ws => "ws",
            Self::SocketIo => "socket.io",
        }
    }

    /// In the report.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Floor => "floor: one write(2) per delivery",
            Self::Tidings => "Tidings",
            Self::Bun => "Bun, native publish",
            Self::Nats => "NATS over WebSocket",
            Self::Nchan => "nchan (nginx)",
            Self::Ws => "ws (Node.js)",
            Self::SocketIo => "Socket.IO 4 (Node.js)",
        }
    }

    /// In the plot.
    pub(super) fn short(self) -> &'static str {
        match self {
            Self::Floor => "floor",
            Self::Nats => "NATS",
            Self::Nchan => "nchan",
            Self::Ws => "ws",
            Self::SocketIo => "Socket.IO",
            Self::Bun => "Bun",
            Self::Tidings => "Tidings",
        }
    }

    /// What the load speaks with it.
    pub(super) fn dialect(self) -> &'static str {
        match self {
            Self::Floor | Self::Tidings | Self::Bun | Self::Ws => "tidings",
            Self::Nats => "nats",
            Self::Nchan => "nchan",
            Self::SocketIo => "socket-io",
        }
    }

    /// How it is set up, for the report.
    pub(super) fn settings(self) -> &'static str {
        match self {
            Self::Floor => {
                "an epoll loop in the load generator (`tidings-load floor`): looks a channel up, writes a ready-made \
                 frame to each subscriber, reads by position instead of parsing, has no limits and no timers"
            }
            Self::Tidings => {
                "`tidings serve --workers 1 --allow-client-publish 'bench.*' --connections-per-second 1000000 \
                 --commands-per-second 0`, release build; defaults otherwise, so that 256 events of each channel are kept"
            }
            Self::Bun => {
                "`Bun.serve` with uWebSockets topics, no compression, no pings of its own; speaks our protocol"
            }
            Self::Nats => {
                "core NATS, plain WebSocket, no compression; Go uses one processor because it has one"
            }
            Self::Nchan => "nginx with one process, memory storage, 64 messages per channel, no logs",
            Self::Ws => {
                "a set of sockets per channel, each event made into bytes once, no compression, no UTF-8 check; \
                 speaks our protocol"
            }
            Self::SocketIo => {
                "rooms, WebSocket only, no compression, the sockets' first requests dropped from memory"
            }
        }
    }

    /// Whether it is somebody else's.
    pub(super) fn is_peer(self) -> bool {
        !matches!(self, Self::Floor | Self::Tidings)
    }
}
