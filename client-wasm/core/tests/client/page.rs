//! The page around the client.

use crate::script::{play, play_open};

#[test]
fn without_a_network_it_waits_and_burns_no_attempts() {
    play_open(
        "
        ! maxReconnectAttempts 1
        > offline
        > closed 1006
        closed 1006
        state open connecting
        ? deadline none
        > after 10000000
        > visible
        > restored
        > online
        reconnecting 1 in 0
        > after 0
        connect 2
        ",
    );
}

#[test]
fn going_offline_takes_back_the_attempt_that_was_announced() {
    play_open(
        "
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > offline
        ? deadline none
        > offline
        > after 100000
        > online
        reconnecting 1 in 0
        > after 0
        connect 2
        ",
    );
}

#[test]
fn an_attempt_that_fails_offline_is_followed_by_waiting() {
    play(
        "
        ! maxReconnectAttempts 0
        > offline
        > connect
        connect 1
        state idle connecting
        > closed 1006
        closed 1006
        ? state connecting
        ? deadline none
        > online
        reconnecting 1 in 0
        > after 0
        connect 2
        ",
    );
}

#[test]
fn offline_keeps_a_connection_that_may_live() {
    play_open(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > offline
        ? state open
        > msg a e 1
        deliver a e 1
        > online
        send sub a
        > ok a
        ? state open
        ",
    );
}

#[test]
fn waiting_ends_when_there_is_hope() {
    for sign in ["online", "visible", "restored"] {
        play_open(&format!(
            "
            > closed 1006
            closed 1006
            state open connecting
            reconnecting 1 in 125
            > {sign}
            connect 2
            ? deadline 10000
            "
        ));
    }
}

#[test]
fn a_live_connection_is_probed() {
    for sign in ["online", "visible", "restored"] {
        play_open(&format!(
            "
            > channel a
            send sub a
            > ok a
            subscribed a
            > {sign}
            send sub a
            ? deadline 2000
            > ok a
            ? deadline none
            "
        ));
    }
}

#[test]
fn without_a_channel_only_strong_doubt_replaces_the_connection() {
    play_open(
        "
        > hidden
        > visible
        ? state open
        ? deadline none
        ",
    );
    for sign in ["online", "restored"] {
        play_open(&format!(
            "
            > {sign}
            close 4001
            closed 1006 ping timeout
            state open connecting
            reconnecting 1 in 0
            "
        ));
    }
}

#[test]
fn an_attempt_under_way_gets_two_more_seconds() {
    for (sign, deadline) in [("online", 2_000), ("restored", 2_000), ("visible", 10_000)] {
        play(&format!(
            "
            > connect
            connect 1
            state idle connecting
            > {sign}
            ? deadline {deadline}
            "
        ));
    }
    play(
        "
        > connect
        connect 1
        state idle connecting
        > after 9000
        > online
        ? deadline 1000
        ",
    );
}

#[test]
fn a_hidden_page_takes_its_time() {
    play_open(
        "
        > hidden
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 5000
        > after 5000
        connect 2
        > closed 1006
        closed 1006
        reconnecting 2 in 5000
        > visible
        connect 3
        > closed 1006
        closed 1006
        reconnecting 3 in 500
        ",
    );
}

#[test]
fn a_closed_client_does_not_care() {
    for sign in ["online", "offline", "visible", "hidden", "restored"] {
        play_open(&format!(
            "
            > disconnect
            close 1000
            closed 1000
            state open closed
            > {sign}
            ? deadline none
            "
        ));
    }
}
