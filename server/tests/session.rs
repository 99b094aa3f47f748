//! One client's conversation, without any I/O and with a clock that only the test moves.

use proptest::prelude::*;
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use tidings_server::{
    Authorization, Config, Expiry, Published, Subject,
    protocol::{CloseCode, ServerFrame, reason},
    session::{Attached, Effect, Session},
};
use ulid::Ulid;

/// A subscriber of a channel without history, or none.
fn attached(slot: Option<usize>) -> Attached {
    slot.map_or(Attached::Refused, |slot| Attached::Live { slot, position: None, resumed: None })
}

fn published(refused: Option<&'static str>) -> Result<Published, &'static str> {
    refused.map_or_else(|| Ok(Published::new(Ulid::nil(), None)), Err)
}

/// A session and what it wanted, in short.
struct Talk {
    session: Session,
    effects: VecDeque<Effect>,
}

impl Talk {
    /// A session that has just begun at time 0, its welcome taken.
    fn begin(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        change(&mut config);
        let mut effects = VecDeque::new();
        let session = Session::open(Ulid::nil(), Arc::new(config), 0, &mut effects);
        assert!(matches!(effects.pop_front(), Some(Effect::Send(_))));
        assert!(effects.is_empty());
        Self { session, effects }
    }

    /// The same, with nobody behind it.
    fn known(change: impl FnOnce(&mut Config)) -> Self {
        let mut talk = Self::begin(change);
        assert_eq!(talk.identified(), [""; 0]);
        talk
    }

    fn wants(&mut self) -> Vec<String> {
        self.effects.drain(..).map(|effect| short(&effect)).collect()
    }

    fn text(&mut self, text: &str) -> Vec<String> {
        self.session.text(text, 0, &mut self.effects);
        self.wants()
    }

    fn sub(&mut self, channel: &str) -> Vec<String> {
        self.text(&format!(r#"{{"t":"sub","c":"{channel}"}}"#))
    }

    fn unsub(&mut self, channel: &str) -> Vec<String> {
        self.text(&format!(r#"{{"t":"unsub","c":"{channel}"}}"#))
    }

    fn publish(&mut self, channel: &str, event: &str) -> Vec<String> {
        self.text(&format!(r#"{{"t":"pub","c":"{channel}","e":"{event}","d":1}}"#))
    }

    fn identified(&mut self) -> Vec<String> {
        self.session.identified(None, None, &mut self.effects);
        self.wants()
    }

    fn auth(&mut self, token: &str) -> Vec<String> {
        self.text(&format!(r#"{{"t":"auth","tk":"{token}"}}"#))
    }

    /// The token is that of this user.
    fn authenticated(&mut self, user: &str) -> Vec<String> {
        self.authenticated_until(user, None)
    }

    fn authenticated_until(&mut self, user: &str, until: Option<u64>) -> Vec<String> {
        self.session.authenticated(Some(Subject::new(user)), until, &mut self.effects);
        self.wants()
    }

    fn refused(&mut self) -> Vec<String> {
        self.session.authenticated(None, None, &mut self.effects);
        self.wants()
    }

    fn authorized(&mut self, ticket: u32, answer: Option<bool>) -> Vec<String> {
        let answer = answer.map(Authorization::from);
        self.session.authorized(ticket, answer.as_ref(), &mut self.effects);
        self.wants()
    }

    fn attached(&mut self, channel: &str, slot: Option<usize>) -> Vec<String> {
        self.session.attached(channel, attached(slot), &mut self.effects);
        self.wants()
    }

    fn published(&mut self, refused: Option<&'static str>) -> Vec<String> {
        self.session.published(published(refused), 0, &mut self.effects);
        self.wants()
    }

    fn tick(&mut self, now: u64) -> Vec<String> {
        self.session.tick(now, &mut self.effects);
        self.wants()
    }

    fn end(&mut self) -> Vec<String> {
        self.session.end(&mut self.effects);
        self.wants()
    }
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Send(text) => {
            let text = std::str::from_utf8(text).expect("UTF-8");
            match ServerFrame::parse(text).expect("a frame") {
                ServerFrame::Ok { channel, .. } => format!("ok {channel}"),
                ServerFrame::Err { channel, reason, .. } => format!("err {channel} {reason}"),
                ServerFrame::Ping => "ping".to_owned(),
                ServerFrame::Auth { expires: None } => "auth".to_owned(),
                ServerFrame::Auth { expires: Some(at) } => format!("auth until {at}"),
                other => panic!("unexpected: {other:?}"),
            }
        }
        Effect::Resolve { token } => format!("resolve {token}"),
        Effect::Authorize { ticket, channel, subject } => {
            let subject = subject.as_ref().map_or(String::new(), |s| format!(" for {}", s.id()));
            format!("authorize {ticket} {channel}{subject}")
        }
        Effect::Attach { channel, .. } => format!("attach {channel}"),
        Effect::Detach { channel, slot } => format!("detach {channel} {slot:?}"),
        Effect::Publish { context, .. } => format!("publish {} {}", context.channel, context.event),
        Effect::History { request, subject, .. } => {
            format!(
                "history {request}{}",
                subject.as_ref().map_or(String::new(), |s| format!(" for {}", s.id()))
            )
        }
        Effect::Dropped => "dropped".to_owned(),
        Effect::Excess => "excess".to_owned(),
        Effect::Close(code) => format!("close {}", code.code()),
        other => panic!("unexpected: {other:?}"),
    }
}

const NOTHING: [&str; 0] = [];

#[test]
fn welcome_is_first() {
    let mut effects = VecDeque::new();
    let id = Ulid::from_parts(1, 2);
    let session = Session::open(id, Arc::new(Config::default()), 0, &mut effects);
    let Some(Effect::Send(text)) = effects.pop_front() else { panic!("no welcome") };
    let expected = format!(r#"{{"t":"welcome","id":"{id}","v":2,"ka":30000}}"#);
    assert_eq!(String::from_utf8(text).expect("UTF-8"), expected);
    assert!(effects.is_empty());
    assert_eq!(session.id(), id);
}

#[test]
fn subscribe_and_unsubscribe() {
    let mut talk = Talk::known(|_| {});
    assert_eq!(talk.sub("a"), ["authorize 0 a"]);
    assert_eq!(talk.authorized(0, Some(true)), ["attach a"]);
    assert_eq!(talk.attached("a", Some(7)), ["ok a"]);
    assert_eq!(talk.sub("a"), ["ok a"]);
    assert_eq!(talk.unsub("a"), ["detach a Some(7)"]);
    assert_eq!(talk.unsub("a"), NOTHING);
    assert_eq!(talk.end(), NOTHING);
}

#[test]
fn each_sub_is_answered_once() {
    let mut talk = Talk::begin(|_| {});
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.identified(), ["authorize 0 a"]);
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.authorized(0, Some(true)), ["attach a"]);
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.attached("a", Some(0)), ["ok a", "ok a", "ok a", "ok a"]);
}

#[test]
fn refusals() {
    for (answer, refusal) in [(Some(false), reason::UNAUTHORIZED), (None, reason::AUTHORIZATION_FAILED)] {
        let mut talk = Talk::known(|_| {});
        talk.sub("a");
        talk.sub("a");
        let expected = format!("err a {refusal}");
        assert_eq!(talk.authorized(0, answer), [expected.clone(), expected]);
        assert_eq!(talk.sub("a"), ["authorize 1 a"]);
        assert_eq!(talk.authorized(1, Some(true)), ["attach a"]);
        assert_eq!(talk.attached("a", None), ["err a subscribe failed"]);
        assert_eq!(talk.end(), NOTHING);
    }
}

#[test]
fn an_unsub_cancels_at_every_stage() {
    let mut talk = Talk::begin(|_| {});
    talk.sub("waiting");
    assert_eq!(talk.unsub("waiting"), NOTHING);
    assert_eq!(talk.identified(), NOTHING);
    talk.sub("authorizing");
    assert_eq!(talk.unsub("authorizing"), NOTHING);
    assert_eq!(talk.authorized(0, Some(true)), NOTHING);
    talk.sub("attaching");
    talk.authorized(1, Some(true));
    assert_eq!(talk.unsub("attaching"), ["detach attaching None"]);
    assert_eq!(talk.end(), NOTHING);
}

#[test]
fn an_answer_to_an_earlier_sub_does_not_count() {
    let mut talk = Talk::known(|_| {});
    assert_eq!(talk.sub("a"), ["authorize 0 a"]);
    talk.unsub("a");
    assert_eq!(talk.sub("a"), ["authorize 1 a"]);
    assert_eq!(talk.authorized(0, Some(false)), NOTHING);
    assert_eq!(talk.authorized(1, Some(true)), ["attach a"]);
    assert_eq!(talk.authorized(1, Some(true)), NOTHING);
    assert_eq!(talk.attached("a", Some(0)), ["ok a"]);
}

#[test]
fn the_subject_goes_with_every_question() {
    let mut talk = Talk::begin(|_| {});
    talk.sub("a");
    talk.publish("b", "e");
    talk.session.identified(Some(Subject::new("ann")), None, &mut talk.effects);
    let Some(Effect::Publish { context, .. }) = talk.effects.back() else { panic!("no publish") };
    assert_eq!(context.subject.as_ref().map(Subject::id), Some("ann"));
    assert_eq!(talk.wants(), ["authorize 0 a for ann", "publish b e"]);
    assert_eq!(talk.sub("c"), ["authorize 1 c for ann"]);
}

#[test]
fn publishes_go_one_by_one_in_order() {
    let mut talk = Talk::begin(|_| {});
    assert_eq!(talk.publish("a", "1"), NOTHING);
    assert_eq!(talk.publish("b", "2"), NOTHING);
    assert_eq!(talk.identified(), ["publish a 1"]);
    assert_eq!(talk.publish("a", "3"), NOTHING);
    assert_eq!(talk.published(None), ["publish b 2"]);
    assert_eq!(talk.published(Some(reason::PUBLISH_DENIED)), ["err b publish denied", "publish a 3"]);
    assert_eq!(talk.published(None), NOTHING);
}

#[test]
fn a_publish_waits_for_the_own_subscription() {
    for (outcome, then) in [
        (Some(true), &["ok a", "publish a 1"][..]),
        (Some(false), &["err a unauthorized", "publish a 1"]),
        (None, &["err a authorization failed", "publish a 1"]),
    ] {
        let mut talk = Talk::known(|_| {});
        talk.sub("a");
        assert_eq!(talk.publish("a", "1"), NOTHING);
        assert_eq!(talk.publish("b", "2"), NOTHING);
        let mut wants = talk.authorized(0, outcome);
        if outcome == Some(true) {
            assert_eq!(wants, ["attach a"]);
            wants = talk.attached("a", Some(0));
        }
        assert_eq!(wants, then);
        assert_eq!(talk.published(None), ["publish b 2"]);
    }
    let mut talk = Talk::known(|_| {});
    talk.sub("a");
    talk.publish("a", "1");
    assert_eq!(talk.unsub("a"), ["publish a 1"]);
}

#[test]
fn names_and_nonsense() {
    let mut talk = Talk::known(|_| {});
    assert_eq!(talk.sub("a b"), ["err a b invalid channel"]);
    assert_eq!(talk.publish("a b", "e"), ["err a b invalid channel"]);
    assert_eq!(talk.publish("a", "\\u0007"), ["err a invalid event"]);
    for nonsense in ["", "[]", r#"{"t":"x"}"#, r#"{"t":"sub"}"#, r#"{"t":"ok","c":"a"}"#] {
        assert_eq!(talk.text(nonsense), ["dropped"], "{nonsense}");
    }
    assert_eq!(talk.text(r#"{"t":"pong"}"#), NOTHING);
}

#[test]
fn limits() {
    let mut talk = Talk::known(|c| {
        c.limits.channels_per_connection = 1;
        c.limits.waiting_publishes = 2;
    });
    talk.sub("a");
    assert_eq!(talk.sub("b"), ["err b too many channels"]);
    assert_eq!(talk.publish("x", "1"), ["publish x 1"]);
    assert_eq!(talk.publish("x", "2"), NOTHING);
    assert_eq!(talk.publish("x", "3"), NOTHING);
    assert_eq!(talk.publish("x", "4"), ["close 4029"]);
    assert_eq!(talk.published(None), NOTHING);
    assert_eq!(talk.sub("c"), NOTHING);
    let mut talk = Talk::known(|c| c.limits.waiting_bytes = 2);
    talk.publish("x", "1");
    talk.publish("x", "2");
    talk.publish("x", "3");
    assert_eq!(talk.published(None), ["publish x 2"]);
    assert_eq!(talk.publish("x", "4"), NOTHING);
    assert_eq!(talk.publish("x", "5"), ["close 4029"]);
}

#[test]
fn pings_and_silence() {
    let mut talk = Talk::known(|c| {
        c.ping_interval = Duration::from_millis(100);
        c.ping_grace = Duration::from_millis(50);
    });
    assert_eq!(talk.session.deadline(), Some(100));
    assert_eq!(talk.tick(99), NOTHING);
    assert_eq!(talk.tick(100), ["ping"]);
    assert_eq!(talk.session.deadline(), Some(150));
    assert_eq!(talk.tick(149), NOTHING);
    talk.session.heard(149);
    assert_eq!(talk.session.deadline(), Some(200));
    assert_eq!(talk.tick(200), ["ping"]);
    assert_eq!(talk.session.deadline(), Some(299));
    assert_eq!(talk.tick(298), NOTHING);
    assert_eq!(talk.tick(299), ["close 4001"]);
    assert_eq!((talk.session.deadline(), talk.tick(1_000)), (None, Vec::new()));
}

#[test]
fn nobody_is_closed_who_was_not_asked() {
    let mut talk = Talk::known(|c| {
        c.ping_interval = Duration::from_millis(100);
        c.ping_grace = Duration::from_millis(50);
    });
    talk.session.heard(10);
    // The gateway stood still when it was to ask.
    assert_eq!(talk.tick(1_000), ["ping"]);
    assert_eq!(talk.session.deadline(), Some(1_050));
    assert_eq!(talk.tick(1_049), NOTHING);
    talk.session.heard(1_049);
    assert_eq!(talk.tick(1_100), ["ping"]);
    // And when it was to hear, which is no excuse for ever.
    assert_eq!(talk.tick(5_000), ["close 4001"]);
}

#[test]
fn nobody_is_closed_whose_answer_may_not_have_been_read() {
    let mut talk = Talk::known(|c| {
        c.ping_interval = Duration::from_millis(100);
        c.ping_grace = Duration::from_millis(50);
    });
    talk.session.stood_still(0);
    assert_eq!(talk.tick(100), ["ping"]);
    talk.session.stood_still(5_000);
    assert_eq!(talk.tick(5_000), ["ping"]);
    for _ in 0..2 {
        talk.session.stood_still(5_000);
        assert_eq!(talk.session.deadline(), Some(5_050));
        assert_eq!(talk.tick(5_049), NOTHING);
    }
    talk.session.heard(5_049);
    talk.session.stood_still(5_000);
    assert_eq!(talk.tick(5_100), ["ping"]);
    assert_eq!(talk.tick(5_198), NOTHING);
    assert_eq!(talk.tick(5_199), ["close 4001"]);
}

#[test]
fn no_keepalive_no_deadline() {
    let mut talk = Talk::known(|c| c.ping_interval = Duration::ZERO);
    assert_eq!(talk.session.deadline(), None);
    assert_eq!(talk.tick(u64::MAX), NOTHING);
}

#[test]
fn the_end_lets_everything_go() {
    let mut talk = Talk::known(|_| {});
    for (ticket, channel) in ["live", "attaching", "authorizing"].into_iter().enumerate() {
        talk.sub(channel);
        if channel != "authorizing" {
            talk.authorized(ticket as u32, Some(true));
        }
    }
    talk.attached("live", Some(3));
    talk.session.close(CloseCode::Restart, &mut talk.effects);
    talk.session.close(CloseCode::TooSlow, &mut talk.effects);
    assert_eq!(talk.wants(), ["close 1012"]);
    assert_eq!(talk.end(), ["detach live Some(3)", "detach attaching None"]);
    assert_eq!(talk.authorized(2, Some(true)), NOTHING);
    assert_eq!(talk.attached("attaching", Some(1)), NOTHING);
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.end(), NOTHING);
}

/// A client that is ann by its request, with these channels live.
fn ann(change: impl FnOnce(&mut Config), until: Option<u64>, channels: &[&str]) -> Talk {
    let mut talk = Talk::begin(change);
    talk.session.identified(Some(Subject::new("ann")), until, &mut talk.effects);
    assert_eq!(talk.wants(), NOTHING);
    for (n, channel) in channels.iter().enumerate() {
        assert_eq!(talk.sub(channel), [format!("authorize {n} {channel} for ann")]);
        talk.authorized(n as u32, Some(true));
        assert_eq!(talk.attached(channel, Some(n)), [format!("ok {channel}")]);
    }
    talk
}

const HIST: &str = r#"{"t":"hist","c":"a","n":7}"#;

#[test]
fn a_token_is_answered_once() {
    let mut talk = Talk::known(|_| {});
    assert_eq!(talk.auth("s3cret"), ["resolve s3cret"]);
    assert_eq!(talk.authenticated("ann"), ["auth"]);
    assert_eq!(talk.session.subject().map(Subject::id), Some("ann"));
    assert_eq!(talk.authenticated("bob"), NOTHING);
    assert_eq!(talk.sub("a"), ["authorize 0 a for ann"]);
    talk.auth("x");
    let expires_at = std::time::UNIX_EPOCH + Duration::from_millis(1_790_000_000_900);
    let subject = Subject::new("bob").with_expiry(expires_at);
    talk.session.authenticated(Some(subject), Some(5_000), &mut talk.effects);
    assert_eq!(talk.wants(), ["auth until 1790000000", "authorize 1 a for bob"]);
}

#[test]
fn a_refused_token_leaves_all_as_it_was() {
    let mut talk = ann(|_| {}, None, &["a"]);
    assert_eq!(talk.auth("bad"), ["resolve bad"]);
    assert_eq!(talk.sub("b"), NOTHING);
    assert_eq!(talk.refused(), ["err  unauthorized", "authorize 1 b for ann"]);
    assert_eq!(talk.session.subject().map(Subject::id), Some("ann"));
    assert_eq!(talk.unsub("a"), ["detach a Some(0)"]);
}

#[test]
fn what_comes_behind_a_token_waits_for_it() {
    for accepted in [true, false] {
        let mut talk = ann(|_| {}, None, &["live"]);
        talk.auth("t");
        assert_eq!(talk.sub("a"), NOTHING);
        assert_eq!(talk.publish("b", "1"), NOTHING);
        assert_eq!(talk.text(HIST), NOTHING);
        assert_eq!(talk.sub("gone"), NOTHING);
        assert_eq!(talk.unsub("gone"), NOTHING);
        if accepted {
            let wants = ["auth", "authorize 1 live for bob", "history 7 for bob", "authorize 2 a for bob"];
            assert_eq!(talk.authenticated("bob"), [&wants[..], &["publish b 1"]].concat());
        } else {
            let wants = ["err  unauthorized", "history 7 for ann", "authorize 1 a for ann", "publish b 1"];
            assert_eq!(talk.refused(), wants);
        }
    }
}

#[test]
fn a_token_waits_for_the_request() {
    let mut talk = Talk::begin(|_| {});
    assert_eq!(talk.auth("t"), NOTHING);
    assert_eq!(talk.sub("a"), NOTHING);
    assert_eq!(talk.identified(), ["resolve t"]);
    assert_eq!(talk.sub("b"), NOTHING);
    assert_eq!(talk.authenticated("ann"), ["auth", "authorize 0 a for ann", "authorize 1 b for ann"]);
}

#[test]
fn a_refused_request_is_told_and_means_nobody() {
    let mut talk = Talk::begin(|_| {});
    talk.sub("a");
    talk.session.unidentified(&mut talk.effects);
    assert_eq!(talk.wants(), ["err  unauthorized", "authorize 0 a"]);
    talk.session.unidentified(&mut talk.effects);
    assert_eq!(talk.wants(), NOTHING, "once");
    let mut talk = Talk::begin(|_| {});
    talk.auth("t");
    talk.session.unidentified(&mut talk.effects);
    assert_eq!(talk.wants(), ["err  unauthorized", "resolve t"]);
    assert_eq!(talk.refused(), ["err  unauthorized"]);
}

#[test]
fn one_token_is_asked_about_and_one_waits() {
    let mut talk = ann(|_| {}, None, &["live"]);
    assert_eq!(talk.auth("1"), ["resolve 1"]);
    assert_eq!(talk.auth("2"), NOTHING);
    assert_eq!(talk.auth("3"), ["err  too many requests"]);
    talk.sub("a");
    talk.publish("b", "e");
    assert_eq!(talk.authenticated("bob"), ["auth", "authorize 1 live for bob", "resolve 2"]);
    assert_eq!(talk.auth("4"), NOTHING);
    assert_eq!(talk.refused(), ["err  unauthorized", "resolve 4"]);
    let wants = ["auth", "authorize 2 live for eve", "authorize 3 a for eve", "publish b e"];
    assert_eq!(talk.authenticated("eve"), wants);
    assert_eq!(talk.authorized(1, Some(false)), NOTHING, "of a question that counts no longer");
    assert_eq!(talk.authorized(2, Some(true)), NOTHING);
}

#[test]
fn a_new_subject_keeps_what_it_may_use_and_loses_the_rest() {
    let channels = ["kept", "refused", "failed"];
    let mut talk = ann(|_| {}, None, &channels);
    talk.auth("t");
    assert_eq!(
        talk.authenticated("bob"),
        ["auth", "authorize 3 kept for bob", "authorize 4 refused for bob", "authorize 5 failed for bob"]
    );
    assert_eq!(talk.authorized(3, Some(true)), NOTHING);
    assert_eq!(talk.authorized(4, Some(false)), ["detach refused Some(1)", "err refused unauthorized"]);
    assert_eq!(talk.authorized(5, None), ["detach failed Some(2)", "err failed authorization failed"]);
    assert_eq!(talk.authorized(3, Some(false)), NOTHING, "answered");
    assert_eq!(talk.end(), ["detach kept Some(0)"]);
}

#[test]
fn a_new_subject_is_asked_about_at_every_stage() {
    for answer in [true, false] {
        let mut talk = ann(|_| {}, None, &["live"]);
        talk.sub("attaching");
        talk.authorized(1, Some(true));
        talk.sub("authorizing");
        talk.auth("t");
        assert_eq!(
            talk.authenticated("bob"),
            [
                "auth",
                "authorize 3 live for bob",
                "authorize 4 attaching for bob",
                "authorize 5 authorizing for bob"
            ]
        );
        assert_eq!(talk.authorized(2, Some(true)), NOTHING, "was about ann");
        let answers = [3, 4, 5].map(|ticket| talk.authorized(ticket, Some(answer)));
        if answer {
            assert_eq!(answers, [vec![], vec![], vec!["attach authorizing".to_owned()]]);
            assert_eq!(talk.attached("attaching", Some(8)), ["ok attaching"]);
        } else {
            assert_eq!(answers[0], ["detach live Some(0)", "err live unauthorized"]);
            assert_eq!(answers[1], ["detach attaching None", "err attaching unauthorized"]);
            assert_eq!(answers[2], ["err authorizing unauthorized"]);
            assert_eq!(talk.end(), NOTHING);
        }
    }
}

#[test]
fn the_answer_about_a_new_subject_may_come_after_the_channel_is_live() {
    let mut talk = ann(|_| {}, None, &[]);
    talk.sub("a");
    talk.sub("a");
    talk.authorized(0, Some(true));
    talk.auth("t");
    talk.authenticated("bob");
    assert_eq!(talk.attached("a", Some(4)), ["ok a", "ok a"]);
    assert_eq!(talk.authorized(1, Some(false)), ["detach a Some(4)", "err a unauthorized"]);
    // And one that is refused by the backplane was never there.
    talk.sub("b");
    talk.authorized(2, Some(true));
    talk.auth("t");
    assert_eq!(talk.authenticated("eve"), ["auth", "authorize 3 b for eve"]);
    assert_eq!(talk.attached("b", None), ["err b subscribe failed"]);
    assert_eq!(talk.authorized(3, Some(false)), NOTHING);
    assert_eq!(talk.end(), NOTHING);
}

#[test]
fn a_hole_does_not_hide_a_channel_from_a_new_subject() {
    let mut talk = ann(|_| {}, None, &["a"]);
    talk.auth("t");
    assert_eq!(talk.authenticated("bob"), ["auth", "authorize 1 a for bob"]);
    let resume = r#"{"t":"sub","c":"a","rc":{"ep":"e","o":1}}"#;
    assert_eq!(talk.text(resume), ["detach a Some(0)", "attach a"]);
    assert_eq!(talk.authorized(1, Some(false)), ["detach a None", "err a unauthorized"]);
}

#[test]
fn a_channel_that_is_left_is_not_asked_about_any_longer() {
    let mut talk = ann(|_| {}, None, &["a"]);
    talk.auth("t");
    talk.authenticated("bob");
    assert_eq!(talk.unsub("a"), ["detach a Some(0)"]);
    assert_eq!(talk.authorized(1, Some(false)), NOTHING);
    assert_eq!(talk.sub("a"), ["authorize 2 a for bob"]);
}

#[test]
fn a_publish_that_runs_while_the_subject_changes_keeps_its_place() {
    let mut talk = ann(|_| {}, None, &[]);
    assert_eq!(talk.publish("a", "1"), ["publish a 1"]);
    talk.auth("t");
    assert_eq!(talk.publish("a", "2"), NOTHING);
    assert_eq!(talk.published(None), NOTHING, "the next one waits for the token");
    assert_eq!(talk.authenticated("bob"), ["auth", "publish a 2"]);
}

#[test]
fn an_expired_client_is_closed_after_its_grace() {
    let mut talk = ann(|c| c.ping_interval = Duration::ZERO, Some(10_000), &["a"]);
    assert_eq!(talk.session.deadline(), Some(35_000));
    assert_eq!(talk.tick(34_999), NOTHING);
    assert_eq!(talk.session.subject().map(Subject::id), Some("ann"));
    assert_eq!(talk.tick(35_000), ["close 4005"]);
    assert_eq!(talk.session.deadline(), None);
    assert_eq!(talk.end(), ["detach a Some(0)"]);
}

#[test]
fn a_token_in_time_gives_more_of_it() {
    let close = |c: &mut Config| {
        c.ping_interval = Duration::ZERO;
        c.expiry_grace = Duration::from_millis(50);
    };
    let mut talk = ann(close, Some(100), &[]);
    assert_eq!(talk.tick(120), NOTHING);
    talk.auth("t");
    assert_eq!(talk.authenticated_until("ann", Some(300)), ["auth"]);
    assert_eq!((talk.session.deadline(), talk.tick(349)), (Some(350), vec![]));
    talk.auth("t");
    assert_eq!(talk.refused(), ["err  unauthorized"]);
    assert_eq!(talk.session.deadline(), Some(350), "a refused one gives none");
    talk.auth("t");
    assert_eq!(talk.authenticated("ann"), ["auth"]);
    assert_eq!((talk.session.deadline(), talk.tick(u64::MAX)), (None, vec![]));
    let mut talk = ann(close, Some(100), &[]);
    talk.auth("t");
    assert_eq!(talk.tick(150), ["close 4005"], "a token that is still asked about gives none");
    assert_eq!(talk.authenticated("ann"), NOTHING);
}

#[test]
fn an_expired_client_may_go_on_as_nobody() {
    let downgrade = |c: &mut Config| {
        c.ping_interval = Duration::ZERO;
        c.expiry = Expiry::Downgrade;
    };
    let mut talk = ann(downgrade, Some(100), &["a", "b"]);
    assert_eq!((talk.session.deadline(), talk.tick(99)), (Some(100), vec![]));
    assert_eq!(talk.tick(100), ["authorize 2 a", "authorize 3 b"]);
    assert!(talk.session.subject().is_none());
    assert_eq!((talk.session.deadline(), talk.tick(101)), (None, vec![]));
    assert_eq!(talk.authorized(2, Some(true)), NOTHING);
    assert_eq!(talk.authorized(3, Some(false)), ["detach b Some(1)", "err b unauthorized"]);
    talk.auth("t");
    assert_eq!(talk.authenticated("ann"), ["auth", "authorize 4 a for ann"]);
    // While a token is asked about: what waits for it goes on waiting.
    let mut talk = ann(downgrade, Some(100), &["a"]);
    talk.auth("t");
    talk.sub("b");
    assert_eq!(talk.tick(100), ["authorize 1 a"]);
    assert_eq!(talk.refused(), ["err  unauthorized", "authorize 2 b"]);
}

#[test]
fn an_expiry_does_not_stop_the_pings() {
    let keepalive = |c: &mut Config| {
        c.ping_interval = Duration::from_millis(100);
        c.expiry = Expiry::Downgrade;
    };
    let mut talk = ann(keepalive, Some(100), &["a"]);
    assert_eq!(talk.session.deadline(), Some(100));
    assert_eq!(talk.tick(100), ["authorize 1 a", "ping"]);
}

/// Something that happens to a session. Numbers choose among what is possible then.
#[derive(Clone, Debug)]
enum Input {
    Sub(usize),
    Unsub(usize),
    Publish(usize),
    Nonsense,
    Identified,
    Auth,
    /// Whether a token is taken, and for how long.
    Resolved(bool, Option<u64>),
    Authorized(usize, Option<bool>),
    Attached(usize, bool),
    Published(bool),
    Wait(u64),
    Close,
}

fn inputs() -> impl Strategy<Value = Input> {
    prop_oneof![
        8 => (0..4_usize).prop_map(Input::Sub),
        4 => (0..4_usize).prop_map(Input::Unsub),
        6 => (0..4_usize).prop_map(Input::Publish),
        1 => Just(Input::Nonsense),
        3 => Just(Input::Identified),
        2 => Just(Input::Auth),
        4 => (any::<bool>(), prop::option::of(0..60_u64)).prop_map(|(yes, time)| Input::Resolved(yes, time)),
        8 => (any::<usize>(), prop_oneof![3 => Just(Some(true)), 1 => Just(Some(false)), 1 => Just(None)])
            .prop_map(|(which, answer)| Input::Authorized(which, answer)),
        8 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(which, live)| Input::Attached(which, live)),
        6 => any::<bool>().prop_map(Input::Published),
        2 => (0..20_u64).prop_map(Input::Wait),
        1 => prop::bool::weighted(0.1).prop_map(|close| if close { Input::Close } else { Input::Wait(1) }),
    ]
}

/// A name; `None` is nobody.
type User = Option<String>;

/// What the one who carries out a session's effects knows, and the rules that it checks.
#[derive(Default)]
struct Model {
    now: u64,
    /// Questions that are not answered yet.
    asked: Vec<(u32, Arc<str>, User)>,
    last_asked: HashMap<Arc<str>, u32>,
    /// Who the client is, and until when.
    user: User,
    until: Option<u64>,
    users: usize,
    /// Whether a token is asked about, and how many wait for an answer.
    resolving: bool,
    tokens: usize,
    /// For whom a channel was last allowed.
    allowed: HashMap<Arc<str>, User>,
    /// Channels that a new subject may not use, and has not been told yet.
    lost: HashSet<String>,
    /// Channels with an `Attach` that came to nothing yet.
    attaching: Vec<Arc<str>>,
    /// Channels that are live, with their slots.
    live: HashMap<Arc<str>, usize>,
    slots: usize,
    /// How many `sub`s of a channel wait for an answer.
    owed: HashMap<String, usize>,
    running: Option<Arc<str>>,
    /// The events that were to be published, and that were.
    wanted: Vec<String>,
    started: Vec<String>,
    closed: bool,
}

impl Model {
    fn effect(&mut self, effect: Effect, ending: bool) -> Result<(), TestCaseError> {
        if self.closed {
            prop_assert!(ending && matches!(effect, Effect::Detach { .. }), "{effect:?} after the close");
        }
        match effect {
            Effect::Send(text) => match ServerFrame::parse(std::str::from_utf8(&text).expect("UTF-8")) {
                Some(ServerFrame::Ok { channel, .. }) => {
                    prop_assert!(self.live.contains_key(&*channel), "ok, and {channel} is not live");
                    self.answered(&channel)?;
                }
                Some(ServerFrame::Auth { .. }) => self.token_answered()?,
                Some(ServerFrame::Err { channel, .. }) if channel.is_empty() => self.token_answered()?,
                Some(ServerFrame::Err { channel, .. }) if self.lost.remove(&*channel) => {
                    prop_assert!(!self.live.contains_key(&*channel));
                    let owed = self.owed.entry(channel.to_string()).or_default();
                    *owed = owed.saturating_sub(1);
                }
                Some(ServerFrame::Err { channel, reason, .. }) => {
                    if *reason != *reason::PUBLISH_FAILED {
                        prop_assert!(!self.live.contains_key(&*channel));
                        self.answered(&channel)?;
                    }
                }
                Some(ServerFrame::Ping) => {}
                other => prop_assert!(false, "{other:?}"),
            },
            Effect::Resolve { .. } => {
                prop_assert!(!self.resolving, "two at a time");
                self.resolving = true;
            }
            Effect::Authorize { ticket, channel, subject } => {
                prop_assert!(self.asked.iter().all(|(t, ..)| *t != ticket));
                let user = subject.as_ref().map(|subject| subject.id().to_owned());
                prop_assert_eq!(&user, &self.user, "asked about somebody else");
                self.last_asked.insert(channel.clone(), ticket);
                self.asked.push((ticket, channel, user));
            }
            Effect::Attach { channel, .. } => {
                prop_assert!(!self.attaching.contains(&channel) && !self.live.contains_key(&channel));
                self.attaching.push(channel);
            }
            Effect::Detach { channel, slot: Some(slot) } => {
                prop_assert_eq!(self.live.remove(&channel), Some(slot));
            }
            Effect::Detach { channel, slot: None } => {
                let at = self.attaching.iter().position(|c| *c == channel);
                prop_assert!(at.is_some(), "{channel} was not attaching");
                self.attaching.retain(|c| *c != channel);
            }
            Effect::Publish { context, .. } => {
                prop_assert!(self.running.is_none(), "two at a time");
                prop_assert!(!self.resolving, "before it is known in whose name");
                self.started.push(context.event.to_string());
                self.running = Some(context.channel);
            }
            Effect::Dropped => {}
            Effect::Close(_) => self.closed = true,
            other => prop_assert!(false, "{other:?}"),
        }
        Ok(())
    }

    fn token_answered(&mut self) -> Result<(), TestCaseError> {
        prop_assert!(self.tokens > 0, "an answer that nobody waits for");
        self.tokens -= 1;
        Ok(())
    }

    /// The client is a new user for so long, if for so long only.
    fn accept(&mut self, time: Option<u64>) -> Subject {
        self.users += 1;
        let name = self.users.to_string();
        self.user = Some(name.clone());
        self.until = time.map(|time| self.now + time);
        Subject::new(name)
    }

    fn expire(&mut self, expiry: Expiry) {
        if expiry == Expiry::Downgrade && self.until.is_some_and(|until| until <= self.now) {
            (self.user, self.until) = (None, None);
        }
    }

    /// Takes note of the answer to a question, of which only the last one about a channel counts; its ticket.
    fn decide(&mut self, which: usize, yes: bool) -> u32 {
        let (ticket, channel, user) = self.asked.swap_remove(which);
        let last = self.last_asked[&channel] == ticket;
        if last && yes {
            self.allowed.insert(channel, user);
        } else if last && (self.live.contains_key(&channel) || self.attaching.contains(&channel)) {
            self.lost.insert(channel.to_string());
        }
        ticket
    }

    fn answered(&mut self, channel: &str) -> Result<(), TestCaseError> {
        let owed = self.owed.get_mut(channel).filter(|owed| **owed > 0);
        prop_assert!(owed.is_some(), "an answer that nobody waits for, on {channel}");
        if let Some(owed) = owed {
            *owed -= 1;
        }
        Ok(())
    }
}

fn converse(inputs: Vec<Input>, expiry: Expiry) -> Result<(), TestCaseError> {
    let mut config = Config::default();
    config.expiry = expiry;
    config.expiry_grace = Duration::from_millis(30);
    config.limits.channels_per_connection = 8;
    config.limits.waiting_publishes = 12;
    config.ping_interval = Duration::from_millis(100);
    config.ping_grace = Duration::from_millis(50);
    let mut effects = VecDeque::new();
    let mut session = Session::open(Ulid::nil(), Arc::new(config), 0, &mut effects);
    effects.clear();
    let mut model = Model::default();
    let channel = |n: usize| ["a", "b", "c", "d"][n];
    let mut identified = false;
    let carry_out = |model: &mut Model, effects: &mut VecDeque<Effect>| {
        effects.drain(..).try_for_each(|effect| model.effect(effect, false))
    };
    for input in inputs {
        match input {
            Input::Sub(n) => {
                if !model.closed {
                    *model.owed.entry(channel(n).to_owned()).or_default() += 1;
                }
                session.text(&format!(r#"{{"t":"sub","c":"{}"}}"#, channel(n)), model.now, &mut effects);
            }
            Input::Unsub(n) => {
                model.owed.remove(channel(n));
                session.text(&format!(r#"{{"t":"unsub","c":"{}"}}"#, channel(n)), model.now, &mut effects);
            }
            Input::Publish(n) => {
                let event = model.wanted.len().to_string();
                let text = format!(r#"{{"t":"pub","c":"{}","e":"{event}"}}"#, channel(n));
                session.text(&text, model.now, &mut effects);
                model.wanted.push(event);
            }
            Input::Nonsense => session.text("nonsense", model.now, &mut effects),
            Input::Identified if !identified => {
                identified = true;
                session.identified(None, None, &mut effects);
            }
            Input::Auth => {
                model.tokens += usize::from(!model.closed);
                session.text(r#"{"t":"auth","tk":"t"}"#, model.now, &mut effects);
            }
            Input::Resolved(taken, time) if std::mem::take(&mut model.resolving) => {
                let subject = taken.then(|| model.accept(time));
                session.authenticated(subject, model.until, &mut effects);
            }
            Input::Authorized(which, answer) if !model.asked.is_empty() => {
                let ticket = model.decide(which % model.asked.len(), answer == Some(true));
                session.authorized(ticket, answer.map(Authorization::from).as_ref(), &mut effects);
            }
            Input::Attached(which, live) if !model.attaching.is_empty() => {
                let channel = model.attaching.swap_remove(which % model.attaching.len());
                let slot = live.then_some(model.slots);
                if let Some(slot) = slot {
                    model.slots += 1;
                    model.live.insert(channel.clone(), slot);
                }
                session.attached(&channel, attached(slot), &mut effects);
            }
            Input::Published(accepted) => {
                if model.running.take().is_some() {
                    let refused = (!accepted).then_some(reason::PUBLISH_FAILED);
                    session.published(published(refused), model.now, &mut effects);
                }
            }
            Input::Wait(ms) => {
                model.now += ms;
                model.expire(expiry);
                if session.deadline().is_some_and(|at| at <= model.now) {
                    session.tick(model.now, &mut effects);
                }
            }
            Input::Close => session.close(CloseCode::Restart, &mut effects),
            Input::Identified | Input::Resolved(..) | Input::Authorized(..) | Input::Attached(..) => {}
        }
        carry_out(&mut model, &mut effects)?;
        prop_assert!(model.closed || session.deadline().is_some());
    }
    // Everything that is still open is answered with yes.
    if !identified {
        session.identified(None, None, &mut effects);
        carry_out(&mut model, &mut effects)?;
    }
    while !model.closed {
        if std::mem::take(&mut model.resolving) {
            let subject = model.accept(None);
            session.authenticated(Some(subject), None, &mut effects);
        } else if let Some(last) = model.asked.len().checked_sub(1) {
            let ticket = model.decide(last, true);
            session.authorized(ticket, Some(&true.into()), &mut effects);
        } else if let Some(channel) = model.attaching.pop() {
            model.live.insert(channel.clone(), model.slots);
            session.attached(&channel, attached(Some(model.slots)), &mut effects);
            model.slots += 1;
        } else if model.running.take().is_some() {
            session.published(published(None), model.now, &mut effects);
        } else {
            break;
        }
        carry_out(&mut model, &mut effects)?;
    }
    if !model.closed {
        prop_assert!(model.owed.values().all(|owed| *owed == 0), "subs without an answer: {:?}", model.owed);
        prop_assert_eq!(&model.started, &model.wanted);
        prop_assert_eq!(model.tokens, 0, "tokens without an answer");
        prop_assert_eq!(session.subject().map(Subject::id), model.user.as_deref());
        for channel in model.live.keys() {
            prop_assert_eq!(&model.allowed[channel], &model.user, "{} was allowed to another one", channel);
        }
    }
    prop_assert_eq!(&model.started[..], &model.wanted[..model.started.len()]);
    let distinct: HashSet<_> = model.live.values().collect();
    prop_assert_eq!(distinct.len(), model.live.len());
    session.end(&mut effects);
    effects.drain(..).try_for_each(|effect| model.effect(effect, true))?;
    prop_assert!(model.live.is_empty() && model.attaching.is_empty(), "something is left");
    session.end(&mut effects);
    prop_assert!(effects.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens(inputs in prop::collection::vec(inputs(), 0..80), downgrade: bool) {
        converse(inputs, if downgrade { Expiry::Downgrade } else { Expiry::Close })?;
    }
}

/// A session that may send five commands at once, and one each 100 ms.
fn limited(dry_run: bool) -> Talk {
    Talk::known(|config| {
        config.limits.channels_per_connection = 5;
        (config.limits.commands_per_second, config.limits.commands_burst) = (10, 5);
        config.limits.dry_run = dry_run;
    })
}

#[test]
fn commands_above_the_limit_close() {
    let mut talk = limited(false);
    let mut at = |now: u64, text: &str| {
        talk.session.text(text, now, &mut talk.effects);
        talk.effects.drain(..).map(|effect| short(&effect)).collect::<Vec<_>>()
    };
    let unsub = r#"{"t":"unsub","c":"a"}"#;
    for _ in 0..5 {
        assert_eq!(at(0, unsub), [""; 0]);
        assert_eq!(at(0, r#"{"t":"pong"}"#), [""; 0], "a pong is free");
    }
    assert_eq!(at(100, unsub), [""; 0], "a tenth of a second is one command");
    assert_eq!(at(1_000, unsub), [""; 0]);
    for _ in 0..4 {
        assert_eq!(at(1_000, unsub), [""; 0], "a silence fills it up to the burst");
    }
    assert_eq!(at(1_099, "nonsense"), ["close 4029"]);
    assert_eq!(at(9_999, unsub), [""; 0], "nothing more is read");
}

#[test]
fn the_session_says_whether_a_command_may_be_carried_out() {
    let mut talk = limited(false);
    let may: Vec<bool> = (0..7).map(|_| talk.session.command(0, &mut talk.effects)).collect();
    assert_eq!(may, [true, true, true, true, true, false, false]);
    assert_eq!(talk.wants(), ["close 4029"]);
}

#[test]
fn commands_above_a_limit_that_is_only_watched_are_told() {
    let mut talk = limited(true);
    for n in 0..8 {
        let told: &[&str] = if n < 5 { &["dropped"] } else { &["excess", "dropped"] };
        assert_eq!(talk.text("nonsense"), told, "{n}");
    }
}
