//! Whether the gateway is still there.

use crate::script::play;

/// A connection whose gateway promises to be heard every 30 s, with a live channel or without.
fn alive(channel: bool, script: &str) {
    let channel = if channel { "> channel a\nsend sub a\n> ok a\nsubscribed a\n" } else { "" };
    let open = "> connect\nconnect 1\nstate idle connecting\n> welcome 30000\nstate connecting open\nopen\n";
    play(&[open, channel, script].concat());
}

#[test]
fn silence_for_the_interval_and_ten_seconds_is_death() {
    alive(
        false,
        "
        ? deadline 40000
        > after 39999
        > after 1
        close 4001
        closed 1006 ping timeout
        state open connecting
        reconnecting 1 in 125
        ",
    );
}

#[test]
fn anything_heard_is_a_sign_of_life() {
    for sign in ["ok x", "msg x e 1", "pos x 1", "noise", "welcome"] {
        alive(
            false,
            &format!(
                "
                > after 39999
                > {sign}
                > after 39999
                ? deadline 1
                > after 1
                close 4001
                closed 1006 ping timeout
                state open connecting
                reconnecting 1 in 125
                "
            ),
        );
    }
}

#[test]
fn pings_keep_it_alive() {
    alive(
        true,
        "
        > after 30000
        > ping
        send pong
        > after 30000
        > ping
        send pong
        > after 30000
        > ping
        send pong
        ? state open
        ",
    );
}

#[test]
fn without_the_promise_silence_means_nothing() {
    for welcome in ["welcome", "welcome 0"] {
        play(&format!(
            "
            > connect
            connect 1
            state idle connecting
            > {welcome}
            state connecting open
            open
            ? deadline none
            > after 10000000
            ? state open
            "
        ));
    }
}

#[test]
fn after_a_sleep_the_connection_is_probed_with_a_live_channel() {
    alive(
        true,
        "
        > sleep 3600000
        send sub a
        ? deadline 2000
        > after 1999
        > ok a
        ? channel a subscribed
        ? deadline 40000
        ",
    );
}

#[test]
fn a_probe_that_nobody_answers_replaces_the_connection_at_once() {
    alive(
        true,
        "
        > sleep 3600000
        send sub a
        > after 2000
        close 4001
        closed 1006 ping timeout
        state open connecting
        reconnecting 1 in 0
        connect 2
        > welcome 30000
        state connecting open
        open
        send sub a
        > ok a
        subscribed a
        ",
    );
}

#[test]
fn any_frame_answers_a_probe() {
    alive(
        true,
        "
        > sleep 3600000
        send sub a
        > msg a e 1
        deliver a e 1
        > after 2000
        ? state open
        # and the answer itself, when it comes, is no news
        > ok a
        ? channel a subscribed
        ",
    );
}

#[test]
fn a_probe_is_not_repeated_while_it_runs() {
    alive(
        true,
        "
        > restored
        send sub a
        > after 1500
        > restored
        > online
        ? deadline 500
        ",
    );
}

#[test]
fn a_refusal_of_a_probe_is_an_answer() {
    alive(
        true,
        "
        > restored
        send sub a
        > err a unauthorized
        error a: unauthorized
        ? channel a subscribed
        > after 2000
        ? state open
        ",
    );
}

#[test]
fn an_open_question_is_a_probe() {
    alive(
        false,
        "
        > channel a
        send sub a
        > restored
        ? deadline 2000
        > after 2000
        close 4001
        closed 1006 ping timeout
        state open connecting
        reconnecting 1 in 0
        connect 2
        ",
    );
}

#[test]
fn without_a_channel_a_connection_in_doubt_is_replaced() {
    alive(
        false,
        "
        > sleep 3600000
        close 4001
        closed 1006 ping timeout
        state open connecting
        reconnecting 1 in 0
        connect 2
        ",
    );
}

#[test]
fn a_probed_channel_that_is_left_waits_for_the_answer() {
    alive(
        true,
        "
        > restored
        send sub a
        > leave a
        > after 10
        > channel a
        > after 10
        > leave a
        > ok a
        send unsub a
        forget a
        ",
    );
}

#[test]
fn a_timer_that_is_a_little_late_is_no_sleep() {
    alive(
        true,
        "
        > after 39999
        > sleep 5000
        close 4001
        closed 1006 ping timeout
        state open connecting
        reconnecting 1 in 125
        ",
    );
    alive(
        true,
        "
        > after 39999
        > sleep 5001
        send sub a
        ",
    );
}

#[test]
fn a_sleep_while_connecting_or_waiting_ends_in_an_attempt_at_once() {
    play(
        "
        > connect
        connect 1
        state idle connecting
        > sleep 100000
        close 1000
        closed 1006 connect timeout
        reconnecting 1 in 0
        > after 0
        connect 2
        > closed 1006
        closed 1006
        reconnecting 2 in 250
        > sleep 100000
        connect 3
        ",
    );
}

#[test]
fn the_timer_may_fire_early() {
    alive(
        false,
        "
        > after 20000
        > ping
        send pong
        # the timer is still set for 40 s after the welcome
        > after 20000
        ? deadline 20000
        ? state open
        > after 20000
        close 4001
        closed 1006 ping timeout
        state open connecting
        reconnecting 1 in 125
        ",
    );
}

#[test]
fn an_endless_interval_is_no_overflow() {
    play(&format!(
        "
        > connect
        connect 1
        state idle connecting
        > welcome {}
        state connecting open
        open
        > restored
        close 4001
        closed 1006 ping timeout
        state open connecting
        reconnecting 1 in 0
        ",
        tidings_protocol::MAX_INTEGER
    ));
}
