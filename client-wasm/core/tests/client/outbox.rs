//! Publishing, with and without a connection.

use crate::script::{play, play_open, play_open2};

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

#[test]
fn an_acknowledged_publish_is_known_by_its_number() {
    play_open2(
        "
        > publish 1
        send pub 1 #1
        > publish 2
        send pub 2 #2
        > publish 3
        send pub 3 #3
        > ack 2 i2 7
        acked 2 i2 at 7
        > ack 1 i1
        acked 1 i1
        > ack 1 i1
        > ack 9 i9
        > err a publish denied #3
        error a: publish denied
        dropped 3: publish denied
        > ack 3 i3
        ",
    );
}

#[test]
fn the_failure_of_a_numbered_publish_denies_no_channel() {
    play_open2(
        "
        > channel a
        send sub a
        > publish 1
        send pub 1 #1
        > err a unauthorized #1
        error a: unauthorized
        dropped 1: unauthorized
        ? channel a subscribing
        # nor does one that nobody waits for
        > err a unauthorized #1
        error a: unauthorized
        > ok a
        subscribed a
        ",
    );
}

#[test]
fn what_was_not_acknowledged_is_sent_again_before_what_is_newer() {
    play_open2(
        "
        > publish 1
        send pub 1 #1
        > publish 2
        send pub 2 #2
        > publish 3
        send pub 3 #3
        > ack 2 i2
        acked 2 i2
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > publish 4
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send pub 1 #1
        send pub 3 #3
        send pub 4 #4
        > publish 5
        send pub 5 #5
        > ack 1 i1
        acked 1 i1
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 2 in 250
        > after 250
        connect 3
        > welcome2
        state connecting open
        open
        send pub 3 #3
        send pub 4 #4
        send pub 5 #5
        ",
    );
}

#[test]
fn a_gateway_of_version_1_is_sent_only_what_no_other_has_seen() {
    play_open2(
        "
        > publish 1
        send pub 1 #1
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > publish 2
        > after 125
        connect 2
        > welcome
        state connecting open
        open
        dropped 1: unacknowledged
        send pub 2
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 2 in 250
        > after 250
        connect 3
        > welcome2
        state connecting open
        open
        > publish 3
        send pub 3 #3
        ",
    );
}

#[test]
fn what_was_sent_counts_for_the_limits_and_is_not_called_unsent() {
    play_open2(
        "
        ! outboxLimit 2
        > publish 1
        send pub 1 #1
        > publish 2
        send pub 2 #2
        > publish 3
        send pub 3 #3
        > closed 1006
        closed 1006
        dropped 1: unacknowledged
        state open connecting
        reconnecting 1 in 125
        > publish 4
        dropped 2: unacknowledged
        > publish 5
        dropped 3: unacknowledged
        > publish 6
        dropped 4: outbox full
        ",
    );
}

#[test]
fn disconnecting_tells_what_was_sent_from_what_was_not() {
    play_open2(
        "
        > publish 1
        send pub 1 #1
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > publish 2
        > disconnect
        state connecting closed
        dropped 1: unacknowledged
        dropped 2: disconnected
        ",
    );
    play_open2(
        "
        > publish 1
        send pub 1 #1
        > refuse
        > publish 2
        > disconnect
        close 1000
        closed 1000
        state open closed
        dropped 1: unacknowledged
        dropped 2: disconnected
        ",
    );
    play_open2(
        "
        > publish 1
        send pub 1 #1
        > closed 1008
        closed 1008
        error: policy
        state open closed
        dropped 1: unacknowledged
        ",
    );
}

#[test]
fn an_acknowledgement_counts_until_the_socket_has_closed() {
    play_open2(
        "
        > publish 1
        send pub 1 #1
        > refuse
        > publish 2
        > ack 1 i1
        acked 1 i1
        > ack 2 i2
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
        send pub 2 #2
        ",
    );
}

#[test]
fn so_many_are_in_flight() {
    let sent: String =
        (1..=256).map(|number| format!("> publish {number}\nsend pub {number} #{number}\n")).collect();
    let again: String = (2..=257).map(|number| format!("send pub {number} #{number}\n")).collect();
    play_open2(&format!(
        "
        ! outboxLimit 300
        {sent}
        > publish 257
        > publish 258
        > ack 1 i1
        acked 1 i1
        send pub 257 #257
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        {again}
        > err a publish failed #9
        error a: publish failed
        dropped 9: publish failed
        send pub 258 #258
        "
    ));
}

#[test]
fn what_waits_too_long_expires() {
    play(
        "
        ! outboxMaxAgeMs 1000
        > publish 1
        ? deadline 1000
        > after 400
        > publish 2
        ? deadline 600
        > after 600
        dropped 1: expired
        ? deadline 400
        > after 399
        > after 1
        dropped 2: expired
        ? deadline none
        ",
    );
}

#[test]
fn what_was_sent_and_waits_too_long_may_have_been_published() {
    play_open2(
        "
        ! outboxMaxAgeMs 1000
        > publish 1
        send pub 1 #1
        > after 500
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > publish 2
        > after 125
        connect 2
        # a sleep, and the timer has not fired
        > after 374
        > welcome2
        state connecting open
        open
        send pub 1 #1
        send pub 2 #2
        > after 1
        dropped 1: unacknowledged
        > ack 1 i1
        > ack 2 i2
        acked 2 i2
        ? deadline none
        ",
    );
}

#[test]
fn what_expired_in_a_sleep_is_not_sent_after_it() {
    play_open2(
        "
        > publish 1
        send pub 1 #1
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > publish 2
        > after 125
        connect 2
        > sleep-timers 240000
        > welcome2
        state connecting open
        open
        dropped 1: unacknowledged
        dropped 2: expired
        ",
    );
}

#[test]
fn a_frame_that_is_too_large_is_not_sent_again() {
    play_open2(
        "
        > publish 1
        send pub 1 #1
        > publish 222
        send pub 222 #2
        > publish 3
        send pub 3 #3
        > closed 1009
        dropped 222: frame too large
        closed 1009
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send pub 1 #1
        send pub 3 #3
        ",
    );
}

#[test]
fn without_acknowledgements_nothing_is_in_flight_that_could_be_too_large() {
    play_open(
        "
        > publish 1
        send pub 1
        > closed 1009
        closed 1009
        state open connecting
        reconnecting 1 in 125
        ",
    );
}
