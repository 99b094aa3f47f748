//! Publishing, with and without a connection.

use crate::script::{play, play_open};

#[test]
fn a_publish_on_an_open_connection_is_sent_at_once() {
    play_open(
        "
        > publish p
        send pub p
        > channel a
        send sub a
        > publish q
        send pub q
        ",
    );
}

#[test]
fn what_was_published_away_follows_the_subscriptions_in_order() {
    play(
        "
        > publish 1
        > connect
        connect 1
        state idle connecting
        > publish 2
        > channel a
        > welcome
        state connecting open
        open
        send sub a
        send pub 1
        send pub 2
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > publish 3
        > after 125
        connect 2
        > publish 4
        > closed 1006
        closed 1006
        reconnecting 2 in 250
        > publish 5
        > after 250
        connect 3
        > welcome
        state connecting open
        open
        send sub a
        send pub 3
        send pub 4
        send pub 5
        ",
    );
}

#[test]
fn a_full_outbox_drops_the_oldest() {
    play(
        "
        ! outboxLimit 2
        > publish 1
        > publish 2
        > publish 3
        dropped 1: outbox full
        > publish 4
        dropped 2: outbox full
        > connect
        connect 1
        state idle connecting
        > welcome
        state connecting open
        open
        send pub 3
        send pub 4
        # an open connection has no limit
        > publish 5
        send pub 5
        > publish 6
        send pub 6
        > publish 7
        send pub 7
        ",
    );
}

#[test]
fn an_outbox_full_of_bytes_drops_the_oldest() {
    play(
        "
        ! outboxMaxBytes 10
        > publish 1111
        > publish 2222
        > publish 3333
        dropped 1111: outbox full
        # more than fits at all
        > publish 44444444444
        dropped 44444444444: outbox full
        > connect
        connect 1
        state idle connecting
        > welcome
        state connecting open
        open
        send pub 2222
        send pub 3333
        ",
    );
}

#[test]
fn an_outbox_of_no_frames_drops_each() {
    play(
        "
        ! outboxLimit 0
        > publish 1
        dropped 1: outbox full
        > connect
        connect 1
        state idle connecting
        > welcome
        state connecting open
        open
        > publish 2
        send pub 2
        ",
    );
}

#[test]
fn a_publish_to_a_closed_client_is_dropped() {
    play_open(
        "
        > disconnect
        close 1000
        closed 1000
        state open closed
        > publish p
        dropped p: disconnected
        ",
    );
}

#[test]
fn a_publish_that_is_queued_outlives_its_channel() {
    play(
        "
        > channel a
        > publish p
        > leave a
        forget a
        > connect
        connect 1
        state idle connecting
        > welcome
        state connecting open
        open
        send pub p
        ",
    );
}

#[test]
fn a_frame_that_the_socket_refuses_is_kept_until_there_is_another() {
    play_open(
        "
        > channel a
        send sub a
        > refuse
        > publish 1
        > publish 2
        ? deadline 2000
        ? state open
        > accept
        # nothing more is sent to a socket that is about to close
        > publish 3
        > channel b
        > ping
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
        send sub b
        send pub 1
        send pub 2
        send pub 3
        ",
    );
}

#[test]
fn a_socket_that_refuses_and_does_not_close_is_replaced() {
    play_open(
        "
        > refuse
        > publish 1
        > accept
        > after 2000
        close 4001
        closed 1006 ping timeout
        state open connecting
        reconnecting 1 in 0
        connect 2
        > welcome
        state connecting open
        open
        send pub 1
        ",
    );
}

#[test]
fn the_reason_of_a_close_is_not_lost_when_the_socket_refused() {
    play_open(
        "
        > refuse
        > publish 1
        > closed 4003
        closed 4003
        error: disconnected
        state open closed
        dropped 1: disconnected
        ",
    );
}

#[test]
fn a_refused_frame_counts_for_the_limits() {
    play_open(
        "
        ! outboxLimit 1
        > refuse
        > publish 1
        > publish 2
        dropped 1: outbox full
        ",
    );
}
