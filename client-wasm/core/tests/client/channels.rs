//! Subscribing and leaving.

use crate::script::{play, play_open};

#[test]
fn a_channel_is_subscribed_after_welcome_and_not_before() {
    play(
        "
        > channel a
        > connect
        connect 1
        state idle connecting
        > channel b
        ? channel a subscribing
        > welcome
        state connecting open
        open
        send sub a
        send sub b
        > ok b
        subscribed b
        > ok a
        subscribed a
        ? channel a subscribed
        ",
    );
}

#[test]
fn a_channel_on_an_open_connection_is_subscribed_at_once() {
    play_open(
        "
        > channel a
        send sub a
        ? channel a subscribing
        > ok a
        subscribed a
        > channel a
        ? channel a subscribed
        ",
    );
}

#[test]
fn every_channel_is_subscribed_once_per_connection() {
    play_open(
        "
        > channel a
        send sub a
        > channel a
        > channel b
        send sub b
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        ? channel a subscribing
        > channel a
        > channel c
        > after 125
        connect 2
        > channel d
        > welcome
        state connecting open
        open
        send sub a
        send sub b
        send sub c
        send sub d
        > channel d
        ",
    );
}

#[test]
fn a_second_ok_is_no_news() {
    play_open(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > ok a
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
        > ok a
        subscribed a
        ",
    );
}

#[test]
fn an_ok_for_nothing_is_ignored() {
    play_open(
        "
        > ok a
        > channel a
        send sub a
        > ok b
        ? channel a subscribing
        ",
    );
}

#[test]
fn events_reach_a_channel_that_is_wanted() {
    play_open(
        "
        > msg a e 1
        > channel a
        send sub a
        # an event may overtake the ok
        > msg a e 2
        deliver a e 2
        > ok a
        subscribed a
        > msg a e 3
        deliver a e 3
        > msg b e 4
        > leave a
        > msg a e 5
        ",
    );
}

#[test]
fn leaving_unsubscribes_at_the_end_of_the_tick() {
    play_open(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > leave a
        ? channel a none
        ? deadline 0
        > after 0
        send unsub a
        forget a
        ? deadline none
        ",
    );
}

#[test]
fn leaving_twice_is_leaving_once() {
    play_open(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > leave a
        > leave a
        > after 0
        send unsub a
        forget a
        > leave a
        > after 0
        ",
    );
}

#[test]
fn leave_and_channel_in_one_tick_end_subscribed() {
    play_open(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > leave a
        > channel a
        ? channel a subscribed
        > after 0
        > msg a e 1
        deliver a e 1
        # any number of times
        > leave a
        > channel a
        > leave a
        > channel a
        > after 1
        ? channel a subscribed
        ",
    );
}

#[test]
fn channel_and_leave_in_one_tick_end_unsubscribed() {
    play_open(
        "
        > channel a
        send sub a
        > leave a
        > after 1000
        > ok a
        send unsub a
        forget a
        ",
    );
}

#[test]
fn an_answer_always_belongs_to_the_last_question() {
    // Left and wanted again before the gateway has answered: the one answer is enough.
    play_open(
        "
        > channel a
        send sub a
        > leave a
        > after 10
        > channel a
        > after 10
        ? channel a subscribing
        > ok a
        subscribed a
        ? channel a subscribed
        ",
    );
}

#[test]
fn a_channel_left_and_wanted_again_later_is_subscribed_again() {
    play_open(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > leave a
        > after 1
        send unsub a
        forget a
        > channel a
        send sub a
        > msg a e 1
        deliver a e 1
        > ok a
        subscribed a
        ",
    );
}

#[test]
fn a_channel_left_without_a_connection_leaves_no_trace() {
    play(
        "
        > channel a
        > leave a
        forget a
        > connect
        connect 1
        state idle connecting
        > channel b
        > leave b
        forget b
        > welcome
        state connecting open
        open
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > channel c
        > leave c
        forget c
        > after 125
        connect 2
        > welcome
        state connecting open
        open
        ",
    );
}

#[test]
fn a_connection_that_ends_forgets_what_was_left() {
    play_open(
        "
        > channel a
        send sub a
        > channel b
        send sub b
        > ok b
        subscribed b
        > leave a
        > leave b
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        forget a
        forget b
        > after 125
        connect 2
        > welcome
        state connecting open
        open
        ",
    );
}

#[test]
fn a_refused_channel_says_so_and_is_asked_for_again_on_the_next_connection() {
    for why in ["unauthorized", "authorization failed", "too many channels", "subscribe failed"] {
        play_open(&format!(
            "
            > channel a
            send sub a
            > err a {why}
            error a: {why}
            denied a: {why}
            ? channel a denied
            > after 100000
            > closed 1006
            closed 1006
            state open connecting
            reconnecting 1 in 125
            ? channel a subscribing
            > after 125
            connect 2
            > welcome
            state connecting open
            open
            send sub a
            > ok a
            subscribed a
            "
        ));
    }
}

#[test]
fn a_refused_channel_that_is_left_needs_no_unsub() {
    play_open(
        "
        > channel a
        send sub a
        > err a unauthorized
        error a: unauthorized
        denied a: unauthorized
        > leave a
        forget a
        > after 1
        ",
    );
}

#[test]
fn a_refused_channel_left_before_the_answer_is_forgotten() {
    play_open(
        "
        > channel a
        send sub a
        > leave a
        > err a unauthorized
        error a: unauthorized
        forget a
        ",
    );
}

#[test]
fn a_refused_channel_can_be_asked_for_again_by_leaving_it() {
    play_open(
        "
        > channel a
        send sub a
        > err a unauthorized
        error a: unauthorized
        denied a: unauthorized
        > leave a
        forget a
        > channel a
        send sub a
        > ok a
        subscribed a
        ",
    );
}

#[test]
fn the_failure_of_a_publish_denies_no_channel() {
    for why in ["publish denied", "publish failed"] {
        play_open(&format!(
            "
            > channel a
            send sub a
            > err a {why}
            error a: {why}
            ? channel a subscribing
            > ok a
            subscribed a
            > err a {why}
            error a: {why}
            ? channel a subscribed
            "
        ));
    }
}

#[test]
fn an_error_about_a_live_or_unknown_channel_is_only_reported() {
    play_open(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > err a unauthorized
        error a: unauthorized
        ? channel a subscribed
        > err b unauthorized
        error b: unauthorized
        ",
    );
}

#[test]
fn an_ok_after_a_refusal_makes_the_channel_live() {
    // The refusal was about a publish: on the wire it looks the same.
    play_open(
        "
        > channel a
        send sub a
        > err a unauthorized
        error a: unauthorized
        denied a: unauthorized
        > ok a
        subscribed a
        ? channel a subscribed
        ",
    );
}

#[test]
fn ids_are_used_again_without_mixing_channels_up() {
    play_open(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > leave a
        > channel b
        send sub b
        > after 0
        send unsub a
        forget a
        > channel c
        send sub c
        > msg a e 1
        > msg c e 2
        deliver c e 2
        > ok c
        subscribed c
        > ok b
        subscribed b
        ",
    );
}
