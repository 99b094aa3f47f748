//! Connecting, losing the connection, and trying again.

use crate::script::{play, play_open, play_open2};

#[test]
fn nothing_happens_before_connect() {
    play(
        "
        ? state idle
        ? deadline none
        > closed 1006
        > welcome
        > online
        > restored
        > after 100000
        ? state idle
        ",
    );
}

#[test]
fn welcome_opens_and_gives_the_id() {
    play(
        "
        > connect
        connect 1
        state idle connecting
        ? id none
        ? deadline 10000
        > welcome
        state connecting open
        open
        ? id id1
        ? state open
        ? deadline none
        ",
    );
}

#[test]
fn connect_does_nothing_while_connecting_open_or_waiting() {
    play(
        "
        > connect
        connect 1
        state idle connecting
        > connect
        > welcome
        state connecting open
        open
        > connect
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > connect
        ? state connecting
        ",
    );
}

#[test]
fn frames_before_welcome_are_not_acted_on() {
    play(
        "
        > connect
        connect 1
        state idle connecting
        > channel a
        > ok a
        > msg a e 1
        > err a unauthorized
        > ping
        > noise
        ? channel a subscribing
        > welcome
        state connecting open
        open
        send sub a
        ",
    );
}

#[test]
fn a_second_welcome_changes_nothing() {
    play_open(
        "
        > channel a
        send sub a
        > welcome
        ? id id1
        ",
    );
}

#[test]
fn ping_is_answered() {
    play_open(
        "
        > ping
        send pong
        > ping
        send pong
        ",
    );
}

#[test]
fn frames_of_version_2_are_dropped() {
    play_open(
        "
        > channel a
        send sub a
        > gap a k:1 backplane
        > pos a 1
        > ack 1 i
        > bye 1000
        > page a 1 k:1 []
        > ok a k:1 rec 1
        subscribed a
        > msg a e 1 3
        deliver a e 1
        > msg a e 2 2
        deliver a e 2
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome
        state connecting open
        open
        send sub a
        > noise
        ",
    );
}

#[test]
fn attempts_double_up_to_the_longest_delay() {
    play(
        "
        > connect
        connect 1
        state idle connecting
        > closed 1006
        closed 1006
        reconnecting 1 in 125
        ? deadline 125
        > after 124
        > after 1
        connect 2
        > closed 1006
        closed 1006
        reconnecting 2 in 250
        > after 250
        connect 3
        > closed 1006
        closed 1006
        reconnecting 3 in 500
        > after 500
        connect 4
        > closed 1006
        closed 1006
        reconnecting 4 in 1000
        > after 1000
        connect 5
        > closed 1006
        closed 1006
        reconnecting 5 in 2000
        > after 2000
        connect 6
        > closed 1006
        closed 1006
        reconnecting 6 in 4000
        > after 4000
        connect 7
        > closed 1006
        closed 1006
        reconnecting 7 in 5000
        > after 5000
        connect 8
        > closed 1006
        closed 1006
        reconnecting 8 in 5000
        ",
    );
}

#[test]
fn the_delays_are_options() {
    play(
        "
        ! reconnectInitialDelayMs 1000
        ! reconnectMaxDelayMs 1500
        > connect
        connect 1
        state idle connecting
        > closed 1006
        closed 1006
        reconnecting 1 in 500
        > after 500
        connect 2
        > closed 1006
        closed 1006
        reconnecting 2 in 750
        ",
    );
}

#[test]
fn a_connection_of_less_than_five_seconds_does_not_start_the_count_again() {
    play_open(
        "
        > after 4999
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome
        state connecting open
        open
        > after 4999
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 2 in 250
        > after 250
        connect 3
        > welcome
        state connecting open
        open
        > after 5000
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        ",
    );
}

#[test]
fn a_socket_that_does_not_get_welcomed_is_replaced() {
    play(
        "
        ! connectTimeoutMs 3000
        > connect
        connect 1
        state idle connecting
        > after 2999
        > after 1
        close 1000
        closed 1006 connect timeout
        reconnecting 1 in 125
        > after 125
        connect 2
        ? deadline 3000
        ",
    );
}

#[test]
fn a_socket_that_cannot_be_made_is_reported_and_tried_again() {
    play(
        "
        > connect
        connect 1
        state idle connecting
        > failed insecure
        error: insecure
        closed 1006 insecure
        reconnecting 1 in 125
        > after 125
        connect 2
        ",
    );
}

#[test]
fn it_gives_up_after_the_last_attempt() {
    play(
        "
        ! maxReconnectAttempts 2
        > connect
        connect 1
        state idle connecting
        > closed 1006
        closed 1006
        reconnecting 1 in 125
        > after 125
        connect 2
        > closed 1006
        closed 1006
        reconnecting 2 in 250
        > after 250
        connect 3
        > publish p
        > closed 1006
        closed 1006
        error: reconnect attempts exhausted
        state connecting closed
        dropped p: disconnected
        ? deadline none
        > online
        > after 100000
        ? state closed
        # and starts again from the beginning
        > connect
        connect 4
        state closed connecting
        > closed 1006
        closed 1006
        reconnecting 1 in 125
        ",
    );
}

#[test]
fn no_attempts_may_be_allowed() {
    play_open(
        "
        ! maxReconnectAttempts 0
        > after 60000
        > closed 1006
        closed 1006
        error: reconnect attempts exhausted
        state open closed
        ",
    );
}

#[test]
fn a_lasting_connection_gives_all_attempts_back() {
    play_open(
        "
        ! maxReconnectAttempts 1
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome
        state connecting open
        open
        > after 5000
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        ",
    );
}

#[test]
fn codes_that_mean_stop() {
    for (code, why) in [(1008, "policy"), (4003, "disconnected")] {
        play_open(&format!(
            "
            > channel a
            send sub a
            > closed {code}
            closed {code}
            error: {why}
            state open closed
            > after 100000
            > visible
            ? state closed
            # the channel is still wanted
            > connect
            connect 2
            state closed connecting
            > welcome
            state connecting open
            open
            send sub a
            "
        ));
    }
}

#[test]
fn a_stop_while_connecting_counts_too() {
    play(
        "
        > connect
        connect 1
        state idle connecting
        > closed 1008
        closed 1008
        error: policy
        state connecting closed
        ",
    );
}

#[test]
fn codes_that_mean_reconnect() {
    for code in [0, 1000, 1001, 1005, 1006, 1009, 1011, 1012, 1013, 4001, 4008, 4029, 4999] {
        play_open(&format!(
            "
            > closed {code}
            closed {code}
            state open connecting
            reconnecting 1 in 125
            "
        ));
    }
}

#[test]
fn what_an_earlier_socket_reports_is_ignored() {
    play_open(
        "
        > channel a
        send sub a
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > old closed 1006
        > old welcome
        > after 125
        connect 2
        > old closed 1006
        > old welcome
        ? state connecting
        > welcome
        state connecting open
        open
        send sub a
        > old ok a
        > old msg a e 1
        > old ping
        > old closed 4003
        ? channel a subscribing
        ? state open
        ",
    );
}

#[test]
fn disconnect_is_for_good() {
    play_open(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > disconnect
        close 1000
        closed 1000
        state open closed
        forget a
        ? deadline none
        ? channel a none
        > welcome
        > msg a e 1
        > ping
        > closed 1000
        > online
        > visible
        > after 1000000
        > disconnect
        ? state closed
        ",
    );
}

#[test]
fn disconnect_while_connecting_or_waiting() {
    play(
        "
        > connect
        connect 1
        state idle connecting
        > disconnect
        close 1000
        closed 1000
        state connecting closed
        > connect
        connect 2
        state closed connecting
        > closed 1006
        closed 1006
        reconnecting 1 in 125
        > disconnect
        state connecting closed
        > after 1000
        ",
    );
}

#[test]
fn disconnect_before_connect() {
    play(
        "
        > channel a
        > publish p
        > disconnect
        state idle closed
        dropped p: disconnected
        forget a
        > connect
        connect 1
        state closed connecting
        > welcome
        state connecting open
        open
        ",
    );
}

#[test]
fn connect_after_disconnect_starts_with_nothing() {
    play_open(
        "
        > channel a
        send sub a
        > disconnect
        close 1000
        closed 1000
        state open closed
        forget a
        > connect
        connect 2
        state closed connecting
        > channel b
        > welcome
        state connecting open
        open
        send sub b
        ? id id2
        ",
    );
}

#[test]
fn a_gateway_that_drains_is_called_again_when_it_asked() {
    play_open2(
        "
        > channel a
        send sub a
        > bye 8200
        drain 8200
        ? state open
        > publish 1
        send pub 1 #1
        > ack 1 i
        acked 1 i
        > after 200
        > closed 1012
        closed 1012
        state open connecting
        reconnecting 1 in 8125
        > after 8124
        > after 1
        connect 2
        # the attempt did not count
        > closed 1006
        closed 1006
        reconnecting 1 in 125
        ",
    );
}

#[test]
fn draining_needs_no_attempt() {
    play_open2(
        "
        ! maxReconnectAttempts 0
        > bye 0
        drain 0
        > after 1000
        > closed 1012
        closed 1012
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > closed 1006
        closed 1006
        error: reconnect attempts exhausted
        state connecting closed
        ",
    );
}

#[test]
fn nothing_calls_a_draining_gateway_earlier() {
    for sign in ["visible", "restored", "online"] {
        play_open2(&format!(
            "
            > bye 1000
            drain 1000
            > closed 1012
            closed 1012
            state open connecting
            reconnecting 1 in 1125
            > after 500
            > {sign}
            ? deadline 625
            > after 625
            connect 2
            "
        ));
    }
    play_open2(
        "
        > bye 1000
        drain 1000
        > closed 1012
        closed 1012
        state open connecting
        reconnecting 1 in 1125
        > offline
        > after 500
        > online
        reconnecting 1 in 500
        > after 500
        connect 2
        ",
    );
}

#[test]
fn what_the_application_asks_for_comes_at_once() {
    play_open2(
        "
        > bye 60000
        drain 60000
        > disconnect
        close 1000
        closed 1000
        state open closed
        > connect
        connect 2
        state closed connecting
        ",
    );
}

#[test]
fn a_stop_is_a_stop_in_a_drain_too() {
    play_open2(
        "
        > bye 1000
        drain 1000
        > closed 4003
        closed 4003
        error: disconnected
        state open closed
        ",
    );
}
