//! Pages of history.

use crate::script::{play, play_open, play_open2};

#[test]
fn a_page_is_asked_for_and_answered() {
    play_open2(
        "
        > channel a
        send sub a
        > history a
        send hist a #1
        > history a limit=5 before=9
        send hist a #2 limit=5 before=9
        > page a 2 k:20 [8]
        page #2 k:20 [8]
        > page a 1 k:21 [20,21]
        page #1 k:21 [20,21]
        > page a 1 k:21 again
        > page a 7 k:21 unknown
        ",
    );
}

#[test]
fn the_gateway_may_refuse() {
    play_open2(
        "
        > channel a
        send sub a
        > history a
        send hist a #1
        > err a unauthorized #1
        no page #1: unauthorized
        ? channel a subscribing
        > ok a
        subscribed a
        ",
    );
}

#[test]
fn it_waits_for_a_connection_and_is_asked_again_on_the_next() {
    play(
        "
        > channel a
        > history a
        > connect
        connect 1
        state idle connecting
        > history a limit=2
        > welcome2
        state connecting open
        open
        send sub a
        send hist a #1
        send hist a #2 limit=2
        > page a 2 k:1 []
        page #2 k:1 []
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send sub a
        send hist a #1
        > page a 1 k:2 []
        page #1 k:2 []
        ",
    );
}

#[test]
fn a_refused_frame_is_sent_on_the_next_connection() {
    play_open2(
        "
        > channel a
        send sub a
        > refuse
        > history a
        > accept
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send sub a
        send hist a #1
        ",
    );
}

#[test]
fn a_gateway_of_version_1_has_none() {
    play_open(
        "
        > channel a
        send sub a
        > history a
        no page #1: unsupported
        ",
    );
    play(
        "
        > channel a
        > history a
        > history a attach
        > connect
        connect 1
        state idle connecting
        > welcome
        state connecting open
        open
        no page #1: unsupported
        no page #2: unsupported
        send sub a
        ",
    );
}

#[test]
fn leaving_and_disconnecting_end_it() {
    play_open2(
        "
        > channel a
        send sub a
        > channel b
        send sub b
        > history a
        send hist a #1
        > history b
        send hist b #2
        > history a attach
        > leave a
        no page #1: left
        no page #3: left
        > page a 1 k:1 []
        > disconnect
        close 1000
        closed 1000
        state open closed
        no page #2: disconnected
        forget a
        forget b
        ",
    );
    play_open2(
        "
        > channel a
        send sub a
        > closed 4003
        closed 4003
        error: disconnected
        state open closed
        > history a
        no page #1: disconnected
        ",
    );
}

#[test]
fn up_to_where_live_began() {
    play_open2(
        "
        > channel a
        send sub a
        > history a attach
        > history a attach before=8 limit=3
        > ok a k:10
        subscribed a
        send hist a #1 before=11
        send hist a #2 limit=3 before=8
        > msg a e 1 11
        deliver a e 1
        > history a attach before=99
        send hist a #3 before=11
        # a resume that succeeds does not move it
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send sub a from k:11
        > ok a k:30 rec 0
        subscribed a
        send hist a #1 before=11
        send hist a #2 limit=3 before=8
        send hist a #3 before=11
        # a gap does
        > gap a z:7 backplane
        gap a: backplane
        > history a attach
        send hist a #4 before=8
        > msg a e 2 10
        send sub a from z:7
        > ok a z:7 rec 0
        > history a attach
        send hist a #5 before=8
        > msg a e 3 20/12
        gap a: hole
        deliver a e 3
        > history a attach
        send hist a #6 before=13
        ",
    );
}

#[test]
fn without_history_there_is_no_such_place() {
    play_open2(
        "
        > channel a
        send sub a
        > history a attach
        > ok a
        subscribed a
        no page #1: no-history
        > history a attach
        no page #2: no-history
        > history a
        send hist a #3
        ",
    );
}

#[test]
fn a_refused_channel_will_not_be_live() {
    play_open2(
        "
        > channel a
        send sub a
        > history a attach
        > history a
        send hist a #2
        > err a unauthorized
        error a: unauthorized
        no page #1: unauthorized
        denied a: unauthorized
        > page a 2 k:1 []
        page #2 k:1 []
        ",
    );
}

#[test]
fn after_leave_and_channel_live_begins_anew() {
    play_open2(
        "
        > channel a
        send sub a
        > ok a k:10
        subscribed a
        > msg a e 1 11
        deliver a e 1
        > leave a
        > channel a
        > history a attach
        send hist a #1 before=12
        > after 0
        ",
    );
}

#[test]
fn so_many_are_under_way() {
    let asked: String = (2..=33).map(|number| format!("> history a\nsend hist a #{number}\n")).collect();
    play_open2(&format!(
        "
        > channel a
        send sub a
        # not under way: it waits for the channel
        > history a attach
        {asked}
        > history a
        > history a
        > page a 9 k:1 []
        page #9 k:1 []
        send hist a #34
        > ok a k:1
        subscribed a
        > err a unavailable #3
        no page #3: unavailable
        send hist a #1 before=2
        > page a 4 k:1 []
        page #4 k:1 []
        send hist a #35
        ",
    ));
}
