//! Scripts: what happens to a client, and what it does.
//!
//! A line that starts with `>` is an input, the lines below it are the effects, in order. A line that starts with
//! `?` asks something, `!` sets an option, `#` is a remark. Time stands still but for `> after 100` (timers fire when
//! they are due) and `> sleep 100` (the machine sleeps, and a timer that was due then fires late). Random numbers are
//! one half. `! tokens` is the option to give tokens.
//!
//! A position is written `k:10`, an epoch and an offset. An event may have an offset, `11`, or that and the one before
//! it, `15/12`. What follows `#` is the number of a request. An error about no channel names `-`.

use std::collections::HashMap;
use tidings_client_core::{
    ChannelId, ChannelState, Closed, Core, Effect, HistoryPage, Options, Outgoing, PageChange, SocketId,
    State, TokenReason, Weight,
};
use tidings_protocol::{Position, Recovery, ServerFrame};

/// A publish: its size is the length of its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame(pub(crate) String);

impl Weight for Frame {
    fn bytes(&self) -> usize {
        self.0.len()
    }
}

pub(crate) type Does = Effect<String, String, String, Frame>;

/// What was asked of the owner, and whether the socket refused it.
pub(crate) struct Done {
    pub(crate) effect: Does,
    pub(crate) refused: bool,
}

/// A client with a virtual clock.
pub(crate) struct Sim {
    pub(crate) core: Core<String, String, String, Frame>,
    pub(crate) names: HashMap<String, ChannelId>,
    pub(crate) now: u64,
    pub(crate) socket: u32,
    /// What the timer is set for, as a shell sets it: it is left alone when the deadline moves away.
    pub(crate) timer: Option<u64>,
    /// The socket takes no frame, or not the next one.
    refusing: Refusing,
    /// The socket has refused a frame.
    pub(crate) refused: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Refusing {
    No,
    Next,
    All,
}

impl Sim {
    pub(crate) fn new(options: Options, random: impl FnMut() -> f64 + 'static) -> Self {
        let core: Core<_, _, _, _> = Core::new(options, Box::new(random));
        Self {
            core,
            names: HashMap::new(),
            now: 1_000,
            socket: 0,
            timer: None,
            refusing: Refusing::No,
            refused: false,
        }
    }

    /// Carries out what the core asks, and sets the timer.
    pub(crate) fn drive(&mut self) -> Vec<Done> {
        let mut done = Vec::new();
        while let Some(effect) = self.core.poll() {
            match &effect {
                Effect::Connect { socket } => {
                    self.socket = socket.0;
                    self.refused = false;
                    if self.refusing == Refusing::Next {
                        self.refusing = Refusing::No;
                    }
                }
                Effect::Forget(name) => {
                    self.names.remove(name);
                }
                Effect::Send(frame) if self.refusing != Refusing::No => {
                    if self.refusing == Refusing::Next {
                        self.refusing = Refusing::No;
                    }
                    self.refused = true;
                    self.core.unsent(self.now, frame);
                    done.push(Done { effect, refused: true });
                    continue;
                }
                _ => {}
            }
            done.push(Done { effect, refused: false });
        }
        let deadline = self.core.deadline();
        if let Some(deadline) = deadline
            && self.timer.is_none_or(|timer| deadline < timer)
        {
            self.timer = Some(deadline);
        } else if deadline.is_none() {
            self.timer = None;
        }
        done
    }

    pub(crate) fn receive(&mut self, socket: u32, frame: Option<ServerFrame<String, String>>) {
        let names = &self.names;
        self.core.receive(self.now, SocketId(socket), frame, |name| names.get(name).copied());
    }

    pub(crate) fn closed(&mut self, socket: u32, code: u16) {
        self.core.closed(self.now, SocketId(socket), Closed { code, reason: String::new(), clean: false });
    }

    pub(crate) fn channel(&mut self, name: &str) {
        let known = self.names.get(name).copied();
        if known.is_none_or(|id| self.core.channel(id).is_none()) {
            let id = self.core.subscribe(known, name.to_owned());
            self.names.insert(name.to_owned(), id);
        }
    }

    pub(crate) fn leave(&mut self, name: &str) {
        if let Some(&id) = self.names.get(name) {
            self.core.leave(self.now, id);
        }
    }

    /// Lets the socket refuse the next frame.
    pub(crate) fn refuse_one(&mut self) {
        self.refusing = Refusing::Next;
    }

    /// Fires the timer when it is due.
    pub(crate) fn fire(&mut self) -> bool {
        let due = self.timer.filter(|&due| due <= self.now);
        if let Some(due) = due {
            self.timer = None;
            self.core.timer(self.now, due);
        }
        due.is_some()
    }

    /// Lets time go by, with timers on time.
    pub(crate) fn after(&mut self, ms: u64) -> Vec<Done> {
        let end = self.now + ms;
        let mut done = Vec::new();
        while let Some(due) = self.timer.filter(|&due| due <= end) {
            self.now = self.now.max(due);
            self.fire();
            done.extend(self.drive());
        }
        self.now = end;
        done
    }

    fn input(&mut self, line: &str) -> Vec<Done> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let word = |index: usize| words.get(index).copied().unwrap_or_default();
        let text = |index: usize| word(index).to_owned();
        let number = |index: usize| word(index).parse::<u64>().expect("a number");
        let frame = |frame| Some(frame);
        match word(0) {
            "connect" => self.core.connect(self.now),
            "disconnect" => self.core.disconnect(),
            "channel" => self.channel(word(1)),
            "leave" => self.leave(word(1)),
            "publish" => self.core.publish(self.now, Frame(text(1))),
            "history" => {
                let number = |name: &str| {
                    words
                        .iter()
                        .find_map(|word| word.strip_prefix(name))
                        .map(|n| n.parse().expect("a number"))
                };
                let page = HistoryPage {
                    limit: number("limit="),
                    before: number("before="),
                    until_attach: words.contains(&"attach"),
                };
                self.core.history(self.names[word(1)], page);
            }
            "after" => return self.after(number(1)),
            "sleep" => {
                self.now += number(1);
                self.fire();
            }
            // The machine sleeps, and something happens before a timer fires.
            "sleep-timers" => self.now += number(1),
            "closed" => self.closed(self.socket, number(1) as u16),
            "token" => self.core.token(self.now, SocketId(self.socket), Some(text(1))),
            "no-token" => self.core.token(self.now, SocketId(self.socket), None),
            "failed" => self.core.failed(self.now, SocketId(self.socket), text(1)),
            "refuse" => self.refusing = Refusing::All,
            "accept" => self.refusing = Refusing::No,
            "online" => self.core.page(self.now, PageChange::Online),
            "offline" => self.core.page(self.now, PageChange::Offline),
            "visible" => self.core.page(self.now, PageChange::Visible),
            "hidden" => self.core.page(self.now, PageChange::Hidden),
            "restored" => self.core.page(self.now, PageChange::Restored),
            "old" => {
                let socket = std::mem::replace(&mut self.socket, 1);
                let done = self.input(&words[1..].join(" "));
                self.socket = socket.max(self.socket);
                return done;
            }
            other => {
                let received = match other {
                    "noise" => None,
                    "welcome" | "welcome2" => frame(ServerFrame::Welcome {
                        id: format!("id{}", self.socket),
                        version: (other == "welcome2").then_some(2),
                        keepalive_ms: words.get(1).map(|_| number(1)),
                    }),
                    "ok" => frame(ServerFrame::Ok {
                        channel: text(1),
                        position: words.iter().find_map(|word| position(word)),
                        recovery: match &words[2..] {
                            [.., "rec", count] => {
                                Some(Recovery::Recovered { count: count.parse().expect("a count") })
                            }
                            [.., "lost", why] => Some(Recovery::Lost { why: (*why).into() }),
                            _ => None,
                        },
                    }),
                    "err" => {
                        let request = words.last().and_then(|word| word.strip_prefix('#'));
                        frame(ServerFrame::Err {
                            channel: text(1).replace('-', ""),
                            reason: words[2..words.len() - usize::from(request.is_some())].join(" "),
                            request: request.map(|number| number.parse().expect("a number")),
                        })
                    }
                    "msg" => frame(ServerFrame::Msg {
                        channel: text(1),
                        event: text(2),
                        data: text(3),
                        id: "i".into(),
                        offset: words.get(4).map(|word| word.split('/').next().expect("a part")).map(parse),
                        previous: words.get(4).and_then(|word| word.split('/').nth(1)).map(parse),
                    }),
                    "ping" => frame(ServerFrame::Ping),
                    "gap" => frame(ServerFrame::Gap {
                        channel: text(1),
                        position: position(word(2)).expect("a position"),
                        why: text(3),
                    }),
                    "pos" => frame(ServerFrame::Pos { channel: text(1), offset: number(2) }),
                    "ack" => frame(ServerFrame::Ack {
                        request: number(1),
                        id: text(2),
                        offset: words.get(3).map(|_| number(3)),
                    }),
                    "page" => frame(ServerFrame::History {
                        channel: text(1),
                        request: number(2),
                        position: position(word(3)).expect("a position"),
                        events: text(4),
                    }),
                    "auth" => frame(ServerFrame::Auth { expires: words.get(1).map(|_| number(1)) }),
                    "bye" => frame(ServerFrame::Bye { code: 1012, after_ms: number(1) }),
                    _ => panic!("no such input: {line}"),
                };
                self.receive(self.socket, received);
            }
        }
        self.drive()
    }

    fn answer(&self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[0] {
            "state" => state(self.core.state()).to_owned(),
            "id" => self.core.id().cloned().unwrap_or_else(|| "none".into()),
            "deadline" => {
                self.core.deadline().map_or("none".into(), |deadline| (deadline - self.now).to_string())
            }
            "channel" => {
                let state = self.names.get(words[1]).and_then(|&id| self.core.channel_state(id));
                let state = match state {
                    Some(ChannelState::Subscribing) => "subscribing",
                    Some(ChannelState::Subscribed) => "subscribed",
                    Some(ChannelState::Denied) => "denied",
                    None => "none",
                };
                format!("{} {state}", words[1])
            }
            _ => panic!("no such question: {line}"),
        }
    }
}

fn parse(number: &str) -> u64 {
    number.parse().expect("a number")
}

fn position(word: &str) -> Option<Position<String>> {
    let (epoch, offset) = word.split_once(':')?;
    Some(Position { epoch: epoch.into(), offset: parse(offset) })
}

/// ` name value` when there is one.
fn optional(name: &str, value: Option<u64>) -> String {
    value.map_or_else(String::new, |value| format!(" {name}{value}"))
}

fn state(state: State) -> &'static str {
    match state {
        State::Idle => "idle",
        State::Connecting => "connecting",
        State::Open => "open",
        State::Closed => "closed",
    }
}

/// An effect as a line of a script.
pub(crate) fn line(effect: &Does) -> String {
    match effect {
        Effect::Connect { socket } => format!("connect {}", socket.0),
        Effect::Close { code, .. } => format!("close {code}"),
        Effect::Send(Outgoing::Subscribe { channel, resume: None }) => format!("send sub {channel}"),
        Effect::Send(Outgoing::Subscribe { channel, resume: Some(Position { epoch, offset }) }) => {
            format!("send sub {channel} from {epoch}:{offset}")
        }
        Effect::Send(Outgoing::Unsubscribe(name)) => format!("send unsub {name}"),
        Effect::Send(Outgoing::Publish { frame, request }) => {
            format!("send pub {}{}", frame.0, optional("#", *request))
        }
        Effect::Send(Outgoing::History { channel, request, limit, before }) => {
            let page = optional("limit=", *limit) + &optional("before=", *before);
            format!("send hist {channel} #{request}{page}")
        }
        Effect::Send(Outgoing::Pong) => "send pong".into(),
        Effect::Send(Outgoing::Authenticate { token }) => format!("send auth {token}"),
        Effect::GetToken { reason, .. } => {
            let reason = match reason {
                TokenReason::Connect => "connect",
                TokenReason::Expiring => "expiring",
                TokenReason::Refused => "refused",
            };
            format!("get token: {reason}")
        }
        Effect::Acknowledged { frame, id, offset } => {
            format!("acked {} {id}{}", frame.0, optional("at ", *offset))
        }
        Effect::History { request, page: Ok((Position { epoch, offset }, events)) } => {
            format!("page #{request} {epoch}:{offset} {events}")
        }
        Effect::History { request, page: Err(reason) } => format!("no page #{request}: {reason}"),
        Effect::Gap { channel, why } => format!("gap {channel}: {why}"),
        Effect::Drain { after_ms } => format!("drain {after_ms}"),
        Effect::Dropped { frame, reason } => format!("dropped {}: {reason}", frame.0),
        Effect::Deliver { channel, event, data, id } => {
            let id = id.as_ref().map_or_else(String::new, |id| format!(" unless {id}"));
            format!("deliver {channel} {event} {data}{id}")
        }
        Effect::Subscribed(name) => format!("subscribed {name}"),
        Effect::Denied { channel, reason } => format!("denied {channel}: {reason}"),
        Effect::Forget(name) => format!("forget {name}"),
        Effect::State { from, to } => format!("state {} {}", state(*from), state(*to)),
        Effect::Opened => "open".into(),
        Effect::Closed(closed) => {
            let reason = if closed.reason.is_empty() { String::new() } else { format!(" {}", closed.reason) };
            format!("closed {}{reason}", closed.code)
        }
        Effect::Reconnecting { attempt, delay_ms } => format!("reconnecting {attempt} in {delay_ms}"),
        Effect::Error { channel: Some(name), reason } => format!("error {name}: {reason}"),
        Effect::Error { channel: None, reason } => format!("error: {reason}"),
        other => format!("{other:?}"),
    }
}

/// Plays a script and compares.
#[track_caller]
pub(crate) fn play(script: &str) {
    let lines: Vec<&str> =
        script.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let mut options = Options::default();
    for line in lines.iter().filter_map(|line| line.strip_prefix("! ")) {
        if line == "tokens" {
            options.tokens = true;
            continue;
        }
        let (name, value) = line.split_once(' ').expect("an option and its value");
        let number: u64 = value.parse().expect("a number");
        match name {
            "maxReconnectAttempts" => options.max_reconnect_attempts = number as u32,
            "reconnectInitialDelayMs" => options.reconnect_initial_delay_ms = number,
            "reconnectMaxDelayMs" => options.reconnect_max_delay_ms = number,
            "connectTimeoutMs" => options.connect_timeout_ms = number,
            "outboxLimit" => options.outbox_limit = number as usize,
            "outboxMaxBytes" => options.outbox_max_bytes = number as usize,
            "outboxMaxAgeMs" => options.outbox_max_age_ms = number,
            _ => panic!("no option: {line}"),
        }
    }
    let mut sim = Sim::new(options, || 0.5);
    let (mut played, mut pending) = (Vec::new(), Vec::new());
    let mut expected = Vec::new();
    for line_of_script in lines.into_iter().filter(|line| !line.starts_with('!')) {
        expected.push(line_of_script.to_owned());
        if let Some(input) = line_of_script.strip_prefix("> ") {
            played.append(&mut pending);
            played.push(line_of_script.to_owned());
            pending =
                sim.input(input).iter().filter(|done| !done.refused).map(|done| line(&done.effect)).collect();
        } else if let Some(question) = line_of_script.strip_prefix("? ") {
            played.append(&mut pending);
            let words = question.split_whitespace().next().expect("a question");
            played.push(format!("? {words} {}", sim.answer(question)));
        }
    }
    played.append(&mut pending);
    assert!(played == expected, "expected:\n{}\n\nplayed:\n{}", expected.join("\n"), played.join("\n"));
}

/// The beginning of most scripts: a connection without a keepalive promise.
pub(crate) const OPEN: &str = "
    > connect
    connect 1
    state idle connecting
    > welcome
    state connecting open
    open
";

/// Plays a script that begins with a connection to a gateway of version 1.
#[track_caller]
pub(crate) fn play_open(script: &str) {
    play_after(OPEN, script);
}

/// Plays a script that begins with a connection to a gateway of version 2.
#[track_caller]
pub(crate) fn play_open2(script: &str) {
    play_after(&OPEN.replace("welcome", "welcome2"), script);
}

#[track_caller]
fn play_after(open: &str, script: &str) {
    let (options, rest): (Vec<&str>, Vec<&str>) =
        script.lines().partition(|line| line.trim().starts_with('!'));
    play(&[options.join("\n"), open.into(), rest.join("\n")].concat());
}
