//! Where a subscriber stands, and what it misses.

use crate::script::{play, play_open2};

/// A live channel at `k:10` on a gateway of version 2.
#[track_caller]
fn at_ten(script: &str) {
    let live = "> channel a\nsend sub a\n> ok a k:10\nsubscribed a\n";
    play_open2(&[live, script].concat());
}

/// The same, after a reconnect and before the answer.
#[track_caller]
fn back(script: &str) {
    let lost = "
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send sub a from k:10
    ";
    at_ten(&[lost, script].concat());
}

#[test]
fn a_quiet_channel_resumes_from_the_first_ok() {
    back(
        "
        > ok a k:10 rec 0
        subscribed a
        > msg a e 1 11
        deliver a e 1
        ",
    );
}

#[test]
fn a_resumed_channel_gets_what_it_missed_and_goes_on() {
    back(
        "
        > ok a k:12 rec 2
        subscribed a
        > msg a e 1 11
        deliver a e 1
        > msg a e 2 12
        deliver a e 2
        > msg a e 3 13
        deliver a e 3
        ",
    );
}

#[test]
fn nothing_missed_takes_the_position_of_the_gateway() {
    // Others' events went by meanwhile.
    back(
        "
        > ok a k:40 rec 0
        subscribed a
        > msg a e 1 41
        deliver a e 1
        > msg a e 2 20
        ",
    );
}

#[test]
fn a_resume_that_fails_is_a_gap_before_the_channel_is_live() {
    for why in ["epoch", "expired", "limit", "unavailable", "a-new-word"] {
        back(&format!(
            "
            > ok a z:7 lost {why}
            gap a: {why}
            subscribed a
            > msg a e 1 8
            deliver a e 1
            > closed 1006
            closed 1006
            state open connecting
            reconnecting 2 in 250
            > after 250
            connect 3
            > welcome2
            state connecting open
            open
            send sub a from z:8
            "
        ));
    }
}

#[test]
fn a_resume_may_fail_into_no_position() {
    back(
        "
        > ok a lost unavailable
        gap a: unavailable
        subscribed a
        > msg a e 1
        deliver a e 1 unless i
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 2 in 250
        > after 250
        connect 3
        > welcome2
        state connecting open
        open
        send sub a
        > ok a
        subscribed a
        ",
    );
}

#[test]
fn a_resume_without_an_outcome_is_a_gap() {
    back(
        "
        > ok a k:12
        gap a: unavailable
        subscribed a
        > msg a e 1 13
        deliver a e 1
        ",
    );
}

#[test]
fn a_gateway_of_version_1_cannot_resume() {
    at_ten(
        "
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
        gap a: unavailable
        subscribed a
        > msg a e 1
        deliver a e 1
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 2 in 250
        > after 250
        connect 3
        > welcome2
        state connecting open
        open
        send sub a
        > ok a k:20
        subscribed a
        ",
    );
}

#[test]
fn a_gateway_that_lost_its_history_is_no_gap_when_there_was_none() {
    play_open2(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
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
        > ok a k:1
        subscribed a
        ",
    );
}

#[test]
fn events_before_the_answer_to_a_resume_are_ignored() {
    back(
        "
        > msg a e 1 11
        > msg a e 3 13
        > pos a 14
        > ok a k:13 rec 3
        subscribed a
        > msg a e 1 11
        deliver a e 1
        > msg a e 2 12
        deliver a e 2
        > msg a e 3 13
        deliver a e 3
        ",
    );
}

#[test]
fn duplicates_are_dropped() {
    at_ten(
        "
        > msg a e 1 10
        > msg a e 1 3
        > msg a e 1 11
        deliver a e 1
        > msg a e 1 11
        > msg a e 1 9/2
        ",
    );
}

#[test]
fn offsets_grow_by_any_step() {
    at_ten(
        "
        > msg a e 1 20/10
        deliver a e 1
        > msg a e 2 30/15
        deliver a e 2
        > msg a e 3 31
        deliver a e 3
        ",
    );
}

#[test]
fn without_a_position_a_repeat_is_known_by_its_id() {
    play_open2(
        "
        > channel a
        send sub a
        > msg a e 0 3
        deliver a e 0 unless i
        > ok a
        subscribed a
        > msg a e 1
        deliver a e 1 unless i
        > msg a e 1 7
        deliver a e 1 unless i
        > msg a e 1 5
        deliver a e 1 unless i
        ",
    );
}

#[test]
fn an_event_without_an_offset_is_delivered_and_moves_nothing() {
    at_ten(
        "
        > msg a e 1
        deliver a e 1 unless i
        > msg a e 2 11
        deliver a e 2
        ",
    );
}

#[test]
fn events_for_others_move_the_position_on_and_never_back() {
    at_ten(
        "
        > pos a 14
        > pos a 12
        > msg a e 1 14
        > msg a e 1 15
        deliver a e 1
        > pos b 3
        ",
    );
}

#[test]
fn a_hole_is_resumed_once() {
    at_ten(
        "
        > msg a e 3 13
        send sub a from k:10
        ? channel a subscribed
        > msg a e 4 14
        > pos a 15
        > ok a k:14 rec 4
        > msg a e 1 11
        deliver a e 1
        > msg a e 2 12
        deliver a e 2
        > msg a e 3 13
        deliver a e 3
        > msg a e 4 14
        deliver a e 4
        # and what follows on makes the next hole a new one
        > msg a e 6 16
        send sub a from k:14
        > ok a k:20 lost limit
        gap a: limit
        > msg a e 7 21
        deliver a e 7
        ",
    );
}

#[test]
fn a_hole_after_a_resume_is_a_gap() {
    at_ten(
        "
        > msg a e 3 13
        send sub a from k:10
        > ok a k:10 rec 0
        > msg a e 5 15/14
        gap a: hole
        deliver a e 5
        > msg a e 6 16
        deliver a e 6
        > msg a e 8 18
        send sub a from k:16
        > ok a
        gap a: unavailable
        > msg a e 9
        deliver a e 9 unless i
        ",
    );
}

#[test]
fn a_resume_that_is_refused_leaves_the_channel_live() {
    at_ten(
        "
        > msg a e 3 13
        send sub a from k:10
        > err a subscribe failed
        error a: subscribe failed
        ? channel a subscribed
        > msg a e 4 14
        gap a: hole
        deliver a e 4
        ",
    );
}

#[test]
fn a_hole_that_the_connection_did_not_outlive_is_resumed_on_the_next() {
    at_ten(
        "
        > msg a e 3 13
        send sub a from k:10
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send sub a from k:10
        > ok a k:11 rec 1
        subscribed a
        > msg a e 1 11
        deliver a e 1
        ",
    );
}

#[test]
fn a_probe_moves_no_position() {
    at_ten(
        "
        > restored
        send sub a
        > ok a k:12
        > msg a e 1 11
        deliver a e 1
        > msg a e 2 12
        deliver a e 2
        > restored
        send sub a
        > ok a z:3
        > ok a k:3
        > msg a e 3 13
        deliver a e 3
        ",
    );
}

#[test]
fn a_hole_seen_during_a_probe_is_resumed_after_it() {
    at_ten(
        "
        > restored
        send sub a
        > msg a e 3 13
        > ok a k:13
        send sub a from k:10
        > ok a k:13 rec 3
        > msg a e 1 11
        deliver a e 1
        ",
    );
}

#[test]
fn a_gap_while_connected_is_told_in_order() {
    at_ten(
        "
        > msg a e 1 11
        deliver a e 1
        > gap a z:3 backplane
        gap a: backplane
        > msg a e 2 3
        > msg a e 3 4
        deliver a e 3
        > gap b z:3 backplane
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send sub a from z:4
        ",
    );
}

#[test]
fn what_an_earlier_subscription_still_says_is_no_position() {
    at_ten(
        "
        > leave a
        > after 0
        send unsub a
        forget a
        > channel a
        send sub a
        > gap a k:14 backplane
        > pos a 15
        > ok a k:14
        subscribed a
        > msg a e 1 15
        deliver a e 1
        ",
    );
}

#[test]
fn a_gap_ends_a_hole() {
    at_ten(
        "
        > restored
        send sub a
        > msg a e 3 13
        > gap a k:13 backplane
        gap a: backplane
        > ok a
        > msg a e 4 14
        deliver a e 4
        ",
    );
}

#[test]
fn a_gap_during_a_resume_does_not_end_it() {
    at_ten(
        "
        > msg a e 3 13
        send sub a from k:10
        > gap a z:2 backplane
        gap a: backplane
        > msg a e 4 3
        > ok a z:3 lost epoch
        gap a: epoch
        > msg a e 5 4
        deliver a e 5
        ",
    );
}

#[test]
fn the_first_ok_with_a_position_gives_it() {
    play_open2(
        "
        > channel a
        send sub a
        > ok a
        subscribed a
        > ok a k:5
        > msg a e 1 5
        > msg a e 2 6
        deliver a e 2
        ",
    );
}

#[test]
fn leaving_forgets_the_position() {
    at_ten(
        "
        > leave a
        > after 0
        send unsub a
        forget a
        > channel a
        send sub a
        > ok a k:3
        subscribed a
        > msg a e 1 4
        deliver a e 1
        ",
    );
    at_ten(
        "
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > leave a
        forget a
        > channel a
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send sub a
        ",
    );
}

#[test]
fn disconnecting_forgets_the_position() {
    at_ten(
        "
        > disconnect
        close 1000
        closed 1000
        state open closed
        forget a
        > channel a
        > connect
        connect 2
        state closed connecting
        > welcome2
        state connecting open
        open
        send sub a
        ",
    );
}

#[test]
fn a_stop_keeps_it() {
    at_ten(
        "
        > closed 4003
        closed 4003
        error: disconnected
        state open closed
        > connect
        connect 2
        state closed connecting
        > welcome2
        state connecting open
        open
        send sub a from k:10
        ",
    );
}

#[test]
fn leave_and_channel_in_one_tick_keep_what_is_live() {
    at_ten(
        "
        > leave a
        > msg a e 1 11
        > channel a
        > after 0
        > msg a e 2 12
        deliver a e 2
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 1 in 125
        > after 125
        connect 2
        > welcome2
        state connecting open
        open
        send sub a from k:12
        ",
    );
}

#[test]
fn who_comes_back_during_a_resume_does_not_get_what_was_missed() {
    back(
        "
        > leave a
        > channel a
        > ok a k:12 rec 2
        subscribed a
        > msg a e 1 11
        > msg a e 2 12
        > msg a e 3 13
        deliver a e 3
        ",
    );
}

#[test]
fn a_refusal_keeps_the_position_for_the_next_connection() {
    back(
        "
        > err a unauthorized
        error a: unauthorized
        denied a: unauthorized
        > closed 1006
        closed 1006
        state open connecting
        reconnecting 2 in 250
        > after 250
        connect 3
        > welcome2
        state connecting open
        open
        send sub a from k:10
        ",
    );
}

#[test]
fn a_refusal_in_the_words_of_a_publish_is_one_all_the_same() {
    // A publish has a number.
    play_open2(
        "
        > channel a
        send sub a
        > err a publish denied
        error a: publish denied
        denied a: publish denied
        ",
    );
}

#[test]
fn a_newer_gateway_speaks_version_2_too() {
    play(
        "
        > connect
        connect 1
        state idle connecting
        > welcome2 30000
        state connecting open
        open
        ? deadline 40000
        ",
    );
}
