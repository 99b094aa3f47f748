//! One client: what it wants, what it hears, and what is wrong with that. Without I/O.

use tidings_protocol::{ClientFrame, Recovery, ServerFrame};

use super::chain::{Chain, Verdict, sequence};
use crate::frame::{self, CLOSE, Header, TEXT};

/// So many mistakes are told in words.
const TOLD: u64 = 20;

/// What all clients together have heard.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) delivered: u64,
    pub(crate) gaps: u64,
    pub(crate) repeats: u64,
    pub(crate) acknowledged: u64,
    /// Subscriptions that went on where a client had been.
    pub(crate) resumed: u64,
    /// Events that they got by that.
    pub(crate) recovered: u64,
    /// Whatever else should not have been.
    pub(crate) mistakes: u64,
}

impl Tally {
    pub(crate) fn mistake(&mut self, what: impl Into<String>) {
        self.mistakes += 1;
        if self.mistakes <= TOLD {
            eprintln!("  mistake: {}", what.into());
        }
    }
}

/// How a client's connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    Open,
    /// The server has closed it with this code.
    Closed(u16),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Upgrading,
    Greeting,
    Open,
}

/// A channel that is wanted, and where the client is in it once it knows.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    pub(crate) channel: String,
    pub(crate) chain: Option<Chain>,
}

pub(crate) struct Client {
    stage: Stage,
    buffer: Vec<u8>,
    /// Bytes for the server.
    pub(crate) out: Vec<u8>,
    pub(crate) wanted: Vec<Wanted>,
}

impl Client {
    /// A client that sends `request`, the handshake, and then subscribes.
    pub(crate) fn new(request: &str, wanted: Vec<Wanted>) -> Self {
        Self { stage: Stage::Upgrading, buffer: Vec::new(), out: request.as_bytes().to_vec(), wanted }
    }

    /// Whether it is connected, and subscribed to all that it wants.
    pub(crate) fn is_ready(&self) -> bool {
        self.stage == Stage::Open && self.wanted.iter().all(|wanted| wanted.chain.is_some())
    }

    pub(crate) fn say(&mut self, frame: &ClientFrame<&str, &str>) {
        frame::put(TEXT, frame.to_json().as_bytes(), &mut self.out);
    }

    pub(crate) fn say_goodbye(&mut self) {
        frame::put(CLOSE, &1000_u16.to_be_bytes(), &mut self.out);
    }

    pub(crate) fn subscribe(&mut self, wanted: Wanted) {
        subscribe(&wanted, &mut self.out);
        self.wanted.push(wanted);
    }

    pub(crate) fn unsubscribe(&mut self, channel: &str) {
        self.wanted.retain(|wanted| wanted.channel != channel);
        self.say(&ClientFrame::Unsub { channel });
    }

    /// Takes in what came from the server.
    pub(crate) fn hear(&mut self, bytes: &[u8], tally: &mut Tally) -> Life {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.extend_from_slice(bytes);
        let mut used = 0;
        if self.stage == Stage::Upgrading {
            let Some(end) = frame::head_end(&buffer) else {
                self.buffer = buffer;
                return Life::Open;
            };
            if !buffer.starts_with(b"HTTP/1.1 101") {
                tally.mistake(format!("no upgrade: {}", String::from_utf8_lossy(&buffer[..end])));
            }
            self.stage = Stage::Greeting;
            used = end;
        }
        while let Some(header) = Header::parse(&buffer[used..]) {
            let body = used + header.size;
            let Some(payload) = buffer.get(body..body + header.payload) else { break };
            match header.opcode {
                TEXT => match std::str::from_utf8(payload) {
                    Ok(text) => self.frame(text, tally),
                    Err(_) => tally.mistake("text that is not UTF-8"),
                },
                CLOSE => {
                    return Life::Closed(
                        payload.first_chunk().map_or(1005, |code| u16::from_be_bytes(*code)),
                    );
                }
                other => tally.mistake(format!("a frame with opcode {other}")),
            }
            used = body + header.payload;
        }
        buffer.drain(..used);
        self.buffer = buffer;
        Life::Open
    }

    fn frame(&mut self, text: &str, tally: &mut Tally) {
        match ServerFrame::parse(text) {
            Some(ServerFrame::Welcome { .. }) => {
                self.stage = Stage::Open;
                self.wanted.iter().for_each(|wanted| subscribe(wanted, &mut self.out));
            }
            Some(ServerFrame::Ok { channel, position, recovery }) => {
                let Some(wanted) = self.wanted.iter_mut().find(|wanted| *wanted.channel == *channel) else {
                    return;
                };
                match (position, recovery) {
                    (Some(_), Some(Recovery::Recovered { count })) => {
                        tally.resumed += 1;
                        tally.recovered += count;
                    }
                    (Some(position), Some(Recovery::Lost { why })) => {
                        tally.mistake(format!("{channel} could not be resumed: {why}"));
                        wanted.chain = Some(Chain::new(&position.epoch, position.offset));
                    }
                    (Some(position), None) => {
                        wanted.chain = Some(Chain::new(&position.epoch, position.offset));
                    }
                    (None, _) => tally.mistake(format!("{channel} has no position")),
                }
            }
            Some(ServerFrame::Msg { channel, data, offset, previous, .. }) => {
                let wanted = self.wanted.iter_mut().find(|wanted| *wanted.channel == *channel);
                // What was on its way when a subscription ended is for nobody.
                let Some(chain) = wanted.and_then(|wanted| wanted.chain.as_mut()) else { return };
                let (Some(offset), Some(sequence)) = (offset, sequence(data)) else {
                    return tally.mistake(format!("an event on {channel} without a place"));
                };
                tally.delivered += 1;
                match chain.take(offset, previous.unwrap_or(offset.saturating_sub(1)), sequence) {
                    Verdict::Next => {}
                    Verdict::Gap => tally.gaps += 1,
                    Verdict::Repeat => tally.repeats += 1,
                }
            }
            Some(ServerFrame::Ack { .. }) => tally.acknowledged += 1,
            Some(ServerFrame::Ping) => self.say(&ClientFrame::Pong),
            _ => tally.mistake(format!("unexpected: {text}")),
        }
    }
}

/// Asks for a channel; from where the client was, when it has been there.
fn subscribe(wanted: &Wanted, out: &mut Vec<u8>) {
    let resume = wanted
        .chain
        .as_ref()
        .map(|chain| tidings_protocol::Position { epoch: chain.epoch.as_str(), offset: chain.offset });
    let sub = ClientFrame::<&str, &str>::Sub { channel: &wanted.channel, resume };
    frame::put(TEXT, sub.to_json().as_bytes(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Vec<u8> {
        let mut frame = vec![0x81];
        frame::put_length(0, text.len(), &mut frame);
        frame.extend_from_slice(text.as_bytes());
        frame
    }

    fn event(offset: u64, sequence: u64) -> String {
        format!(r#"{{"t":"msg","c":"a","e":"e","d":{{"s":{sequence},"x":""}},"i":"x","o":{offset}}}"#)
    }

    /// A client that wants `a` and has heard so much.
    fn heard(chain: Option<Chain>, frames: &[&str]) -> (Client, Tally) {
        let wanted = Wanted { channel: "a".to_owned(), chain };
        let (mut client, mut tally) = (Client::new("GET", vec![wanted]), Tally::default());
        let mut bytes = b"HTTP/1.1 101 Switching Protocols\r\n\r\n".to_vec();
        bytes.extend(said(r#"{"t":"welcome","id":"x","v":2,"ka":1}"#));
        frames.iter().for_each(|frame| bytes.extend(said(frame)));
        // However it is cut.
        for piece in bytes.chunks(7) {
            assert_eq!(client.hear(piece, &mut tally), Life::Open);
        }
        (client, tally)
    }

    #[test]
    fn events_are_counted_and_checked() {
        let ok = r#"{"t":"ok","c":"a","ep":"e","o":7}"#;
        let (client, tally) = heard(None, &[ok, &event(8, 0), &event(9, 1), &event(11, 3), &event(11, 3)]);
        assert!(client.is_ready());
        assert_eq!((tally.delivered, tally.gaps, tally.repeats, tally.mistakes), (4, 1, 1, 0));
        let (client, tally) = heard(None, &[&event(8, 0)]);
        assert!(!client.is_ready() && tally.delivered == 0, "before its `ok` no event is its own");
    }

    #[test]
    fn a_resume_goes_on_where_the_client_was() {
        let mut chain = Chain::new("e", 7);
        assert_eq!(chain.take(8, 7, 0), Verdict::Next);
        let ok = r#"{"t":"ok","c":"a","ep":"e","o":9,"rec":true,"n":1}"#;
        let (client, tally) = heard(Some(chain.clone()), &[ok, &event(9, 1)]);
        assert!(String::from_utf8_lossy(&client.out).contains(r#""rc":{"ep":"e","o":8}"#));
        assert_eq!((tally.resumed, tally.recovered, tally.gaps, tally.mistakes), (1, 1, 0, 0));
        let (_, tally) = heard(Some(chain.clone()), &[ok, &event(10, 2)]);
        assert_eq!(tally.gaps, 1);
        let lost = r#"{"t":"ok","c":"a","ep":"e","o":9,"rec":false,"why":"expired"}"#;
        assert_eq!(heard(Some(chain), &[lost]).1.mistakes, 1);
    }

    #[test]
    fn what_should_not_be_is_a_mistake() {
        for frame in
            [r#"{"t":"err","c":"a","r":"publish failed"}"#, r#"{"t":"gap","c":"a","ep":"e","o":1,"why":"x"}"#]
        {
            assert_eq!(heard(None, &[frame]).1.mistakes, 1, "{frame}");
        }
        let (mut client, mut tally) = heard(None, &[]);
        assert_eq!(client.hear(b"\x88\x02\x0f\xa8", &mut tally), Life::Closed(4008));
    }
}
