//! Tokens: who the client is, and what is held back until a gateway knows.

use crate::script::play;

/// Plays a script that begins with a client that has two channels and a publish, and connects.
#[track_caller]
fn play_connecting(script: &str) {
    play(
        &[
            "
            ! tokens
            > channel a
            > channel b
            > publish p1
            > connect
            connect 1
            get token: connect
            state idle connecting
            ",
            script,
        ]
        .concat(),
    );
}

/// Plays a script that begins with the token on its way to the gateway.
#[track_caller]
fn play_sent(script: &str) {
    play_connecting(
        &[
            "
            > token t1
            > welcome2
            state connecting open
            open
            send auth t1
            send sub a
            send sub b
            ",
            script,
        ]
        .concat(),
    );
}

/// Plays a script that begins with a token that is accepted and expires 100 seconds after the beginning.
#[track_caller]
fn play_accepted(script: &str) {
    play_sent(
        &[
            "
            > ok a k:10
            subscribed a
            > ok b
            subscribed b
            > auth 101
            send pub p1 #1
            > ack 1 i
            acked p1 i
            ? deadline 90000
            ",
            script,
        ]
        .concat(),
    );
}

#[test]
fn the_token_goes_first_then_channels_and_when_it_is_accepted_publishes() {
    play_sent(
        "
        > publish p2
        > history a
        > ok a
        subscribed a
        > auth
        send pub p1 #1
        send pub p2 #2
        send hist a #3
        ? deadline 240000
        ",
    );
}

#[test]
fn a_welcome_that_comes_before_the_token_waits_for_it() {
    play_connecting(
        "
        > welcome2
        ? state connecting
        ? id none
        > ping
        > token t1
        state connecting open
        open
        send auth t1
        send sub a
        send sub b
        ? id id1
        ",
    );
}

#[test]
fn an_attempt_ends_when_there_is_no_token_in_time() {
    play_connecting(
        "
        > welcome2
        > after 10000
        close 1000
        closed 1006 connect timeout
        reconnecting 1 in 125
        > after 125
        connect 2
        get token: connect
        > old token t1
        > welcome2
        ? state connecting
        > token t2
        state connecting open
        open
        send auth t2
        send sub a
        send sub b
        ",
    );
}

#[test]
fn an_application_that_has_no_token_is_asked_again_at_the_next_attempt() {
    play_connecting(
        "
        > no-token
        error: token failed
        close 1000
        closed 1006 token failed
        reconnecting 1 in 125
        > no-token
        > token t1
        > after 125
        connect 2
        get token: connect
        > welcome2
        > no-token
        error: token failed
        close 1000
        closed 1006 token failed
        reconnecting 2 in 250
        ? state connecting
        ",
    );
}

#[test]
fn attempts_without_a_token_count() {
    play(
        "
        ! tokens
        ! maxReconnectAttempts 0
        > connect
        connect 1
        get token: connect
        state idle connecting
        > no-token
        error: token failed
        close 1000
        closed 1006 token failed
        error: reconnect attempts exhausted
        state connecting closed
        ",
    );
}

#[test]
fn a_gateway_of_version_1_gets_no_token_and_the_application_is_told() {
    for answer in ["> token t1", "> no-token"] {
        play_connecting(&format!(
            "
            > welcome
            state connecting open
            open
            error: tokens unsupported
            send sub a
            send sub b
            send pub p1
            {answer}
            > auth 101
            > err - unauthorized
            error: unauthorized
            "
        ));
    }
    play_connecting(
        "
        > token t1
        > welcome
        state connecting open
        open
        error: tokens unsupported
        send sub a
        send sub b
        send pub p1
        ",
    );
}

#[test]
fn without_tokens_an_error_about_no_channel_is_told() {
    play(
        "
        > channel a
        > connect
        connect 1
        state idle connecting
        > welcome2
        state connecting open
        open
        send sub a
        > err - unauthorized
        error: unauthorized
        > auth 2
        > after 5000
        ",
    );
}

#[test]
fn behind_a_refused_token_nothing_is_sent_and_no_refusal_counts() {
    play_sent(
        "
        > err - unauthorized
        > err a unauthorized
        ? channel a subscribing
        > channel c
        > publish p2
        > ping
        send pong
        > after 125
        get token: refused
        > token t2
        send auth t2
        send sub a
        send sub c
        > err b unauthorized
        send sub b
        > auth
        send pub p1 #1
        send pub p2 #2
        > err a unauthorized
        error a: unauthorized
        denied a: unauthorized
        > ok c
        subscribed c
        ",
    );
}

#[test]
fn what_anybody_may_read_is_live_behind_a_refused_token_too() {
    play_sent(
        "
        > err - unauthorized
        > ok a
        subscribed a
        > msg a e 1
        deliver a e 1 unless i
        > after 125
        get token: refused
        > token t2
        send auth t2
        > err b unauthorized
        send sub b
        ",
    );
}

#[test]
fn a_channel_that_is_left_behind_a_refused_token_is_forgotten_when_it_is_answered() {
    play_sent(
        "
        > err - unauthorized
        > leave a
        > err a unauthorized
        forget a
        > leave b
        > ok b
        > after 125
        get token: refused
        > token t2
        send auth t2
        send unsub b
        forget b
        ",
    );
}

#[test]
fn after_three_refusals_it_does_without_and_says_so() {
    play_sent(
        "
        > err - unauthorized
        > after 125
        get token: refused
        > token t2
        send auth t2
        > err - unauthorized
        > after 250
        get token: refused
        > token t3
        send auth t3
        > err - unauthorized
        > after 500
        get token: refused
        > channel c
        > token t4
        send auth t4
        send sub c
        > err - unauthorized
        error: unauthorized
        send pub p1 #1
        > err a unauthorized
        send sub a
        > err a unauthorized
        error a: unauthorized
        denied a: unauthorized
        > token t5
        > err - unauthorized
        error: unauthorized
        > after 100000
        ",
    );
}

#[test]
fn an_acceptance_ends_the_search_for_another_token() {
    // A refusal of the upgrade's own credentials looks like one of the token.
    play_sent(
        "
        > err - unauthorized
        > channel c
        > auth 101
        send sub c
        send pub p1 #1
        > after 125
        > err a unauthorized
        send sub a
        ? deadline 89875
        ",
    );
}

#[test]
fn an_application_that_fails_after_a_refusal_is_asked_again() {
    play_sent(
        "
        > err - unauthorized
        > after 125
        get token: refused
        > no-token
        error: token failed
        > after 250
        get token: refused
        > after 10000
        error: token failed
        > after 500
        get token: refused
        > token t2
        send auth t2
        ",
    );
}

#[test]
fn a_token_is_replaced_before_it_expires_and_nothing_else_happens() {
    play_accepted(
        "
        > after 90000
        get token: expiring
        > publish p2
        send pub p2 #2
        > token t2
        send auth t2
        > channel c
        send sub c
        > publish p3
        send pub p3 #3
        > auth 1001
        ? deadline 240000
        > ack 2 i
        acked p2 i
        > ack 3 i
        acked p3 i
        ? deadline 819000
        > after 819000
        get token: expiring
        ",
    );
}

#[test]
fn a_token_without_an_end_is_never_replaced() {
    play_sent(
        "
        > auth
        send pub p1 #1
        > ack 1 i
        acked p1 i
        ? deadline none
        ",
    );
}

#[test]
fn a_token_that_has_expired_by_a_clock_that_is_wrong_is_kept() {
    play_sent(
        "
        > auth 1
        send pub p1 #1
        > ack 1 i
        acked p1 i
        ? deadline none
        ",
    );
}

#[test]
fn a_refused_renewal_leaves_things_as_they_are() {
    play_accepted(
        "
        > after 90000
        get token: expiring
        > token t2
        send auth t2
        > channel c
        send sub c
        > err - unauthorized
        > publish p2
        send pub p2 #2
        > err c unauthorized
        error c: unauthorized
        denied c: unauthorized
        > msg a e 1 11
        deliver a e 1
        > after 125
        get token: refused
        > token t3
        send auth t3
        > auth
        send sub c
        ",
    );
}

#[test]
fn an_application_that_cannot_renew_is_asked_until_the_gateway_closes() {
    play_accepted(
        "
        > after 90000
        get token: expiring
        > no-token
        error: token failed
        > after 125
        get token: expiring
        > no-token
        error: token failed
        > after 250
        get token: expiring
        > closed 4005
        closed 4005
        state open connecting
        reconnecting 1 in 125
        > token t2
        > after 125
        connect 2
        get token: connect
        > token t3
        > welcome2
        state connecting open
        open
        send auth t3
        send sub a from k:10
        send sub b
        ",
    );
}

#[test]
fn who_may_no_longer_read_a_channel_is_told_and_asks_with_the_next_token() {
    play_accepted(
        "
        > msg a e 1 11
        deliver a e 1
        > after 90000
        get token: expiring
        > token t2
        send auth t2
        > auth 500
        > err a unauthorized
        error a: unauthorized
        denied a: unauthorized
        > msg a e 2 12
        ? channel a denied
        > after 369000
        get token: expiring
        > token t3
        send auth t3
        > auth
        send sub a from k:11
        > ok a k:12 rec 1
        subscribed a
        > msg a e 2 12
        deliver a e 2
        ",
    );
}

#[test]
fn a_gateway_that_does_not_answer_a_token_is_left() {
    play_sent(
        "
        > after 9999
        > after 1
        close 1000
        closed 1006 token timeout
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        get token: connect
        ",
    );
}

#[test]
fn publishes_that_wait_for_the_token_are_bounded() {
    play_sent(
        "
        ! outboxLimit 2
        > publish p2
        > publish p3
        dropped p1: outbox full
        > auth
        send pub p2 #2
        send pub p3 #3
        ",
    );
}

#[test]
fn a_socket_that_refuses_the_token_gets_nothing_more() {
    play_connecting(
        "
        > token t1
        > refuse
        > welcome2
        state connecting open
        open
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        ",
    );
}

#[test]
fn who_disconnects_needs_no_token() {
    play_connecting(
        "
        > disconnect
        close 1000
        closed 1000
        state connecting closed
        dropped p1: disconnected
        forget a
        forget b
        > token t1
        > no-token
        ? deadline none
        > connect
        connect 2
        get token: connect
        state closed connecting
        ",
    );
}
