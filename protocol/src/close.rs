//! Close codes and what a client does when it sees one.

/// Why a WebSocket is closed, as its close code says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum CloseCode {
    /// Normal end.
    Normal = 1000,
    /// An endpoint goes away.
    Away = 1001,
    /// The peer broke the WebSocket protocol.
    Protocol = 1002,
    /// A text frame that is not UTF-8.
    InvalidText = 1007,
    /// Policy: the origin, or a token that will not become valid.
    Policy = 1008,
    /// A frame above the size limit.
    TooLarge = 1009,
    /// The gateway drains or restarts.
    Restart = 1012,
    /// No answer to a ping in time.
    PingTimeout = 4001,
    /// Disconnected by an operator, or its token was revoked.
    Disconnected = 4003,
    /// The client's token has expired, and no new one came in time.
    Expired = 4005,
    /// Too slow: its queue was full, or made no progress.
    TooSlow = 4008,
    /// Too many commands.
    TooManyCommands = 4029,
}

/// What a client does after a close that it did not ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reaction {
    /// Reconnect with backoff.
    Reconnect,
    /// Stop, and report.
    Stop,
}

impl CloseCode {
    /// The number on the wire.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The text that goes with the code in a close frame.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Normal => "",
            Self::Away => "going away",
            Self::Protocol => "protocol error",
            Self::InvalidText => "invalid UTF-8",
            Self::Policy => "policy",
            Self::TooLarge => "frame too large",
            Self::Restart => "restarting",
            Self::PingTimeout => "ping timeout",
            Self::Disconnected => "disconnected",
            Self::Expired => "token expired",
            Self::TooSlow => "too slow",
            Self::TooManyCommands => "too many commands",
        }
    }

    /// What a client does after a close with `code`.
    pub const fn reaction(code: u16) -> Reaction {
        match code {
            1008 | 4003 => Reaction::Stop,
            _ => Reaction::Reconnect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_would_be_closed_again_stays_away() {
        for code in [CloseCode::Policy, CloseCode::Disconnected] {
            assert_eq!(CloseCode::reaction(code.code()), Reaction::Stop, "{code:?}");
        }
        for code in [CloseCode::Restart, CloseCode::Expired, CloseCode::TooSlow, CloseCode::PingTimeout] {
            assert_eq!(CloseCode::reaction(code.code()), Reaction::Reconnect, "{code:?}");
        }
    }
}
