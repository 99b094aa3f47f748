//! The faults that every backplane survives whole: nothing is missing, and nobody is told of a gap.

use crate::{
    node::{Fragile, Remote, number, publish_at_last, subscribe, until, until_down},
    proxy::Proxy,
    rig::{CHANNEL, Rig},
};
use serde_json::json;
use std::time::Duration;
use tidings_server::{Broadcaster, Event};
use tokio::time::sleep;

/// The tests of the module that calls it, each over a backplane that `$start` gives.
macro_rules! survives {
    ($start:expr; $($(#[$attribute:meta])* $fault:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            $(#[$attribute])*
            async fn $fault() {
                $crate::faults::$fault($start.await).await;
            }
        )*
    };
    // One whose server may be killed, and one that is only reached by links that fail.
    ($own:expr, $any:expr) => {
        $crate::faults::survives! { $own;
            a_server_is_killed_and_started_again
            a_server_stands_still_and_goes_on
            #[ignore = "takes half a minute"]
            a_server_stands_still_for_20_seconds_and_goes_on
        }
        $crate::faults::survives! { $any;
            a_link_swallows_everything
            connections_are_reset_in_mid_publish
            one_node_is_cut_off_while_the_others_go_on
            a_node_goes_while_others_publish
            a_publish_that_is_repeated_by_its_key_arrives_once
        }
    };
}
pub(crate) use survives;

pub(crate) async fn a_server_is_killed_and_started_again(mut backplane: impl Fragile) {
    let rig = Rig::over(&backplane).await;
    for _ in 0..3 {
        backplane.kill();
        rig.is_down().await;
        backplane.start_again();
        rig.is_up().await;
        rig.goes_on().await;
    }
    rig.ends_whole().await;
}

async fn stands_still(backplane: impl Fragile, at_least: Duration) {
    let rig = Rig::over(&backplane).await;
    backplane.freeze(true);
    let over = sleep(at_least);
    rig.is_down().await;
    over.await;
    backplane.freeze(false);
    rig.ends_whole().await;
}

pub(crate) async fn a_server_stands_still_and_goes_on(backplane: impl Fragile) {
    stands_still(backplane, Duration::ZERO).await;
}

pub(crate) async fn a_server_stands_still_for_20_seconds_and_goes_on(backplane: impl Fragile) {
    stands_still(backplane, Duration::from_secs(20)).await;
}

pub(crate) async fn a_link_swallows_everything(backplane: impl Remote) {
    let rig = Rig::over(&backplane).await;
    rig.links.iter().for_each(|link| link.hole(true));
    rig.is_down().await;
    rig.links.iter().for_each(|link| link.hole(false));
    rig.ends_whole().await;
}

pub(crate) async fn connections_are_reset_in_mid_publish(backplane: impl Remote) {
    let rig = Rig::over(&backplane).await;
    for _ in 0..10 {
        rig.links.iter().for_each(Proxy::cut);
        rig.goes_on().await;
    }
    for link in &rig.links {
        link.refuse(true);
        link.cut();
    }
    rig.is_down().await;
    rig.links.iter().for_each(|link| link.refuse(false));
    rig.ends_whole().await;
}

pub(crate) async fn one_node_is_cut_off_while_the_others_go_on(backplane: impl Remote) {
    let rig = Rig::over(&backplane).await;
    rig.links[2].hole(true);
    until_down(&rig.nodes[2]).await;
    rig.goes_on().await;
    rig.links[2].hole(false);
    rig.ends_whole().await;
}

pub(crate) async fn a_node_goes_while_others_publish(backplane: impl Remote) {
    let rig = Rig::over(&backplane).await;
    for _ in 0..3 {
        let link = Proxy::start(backplane.address()).await;
        let node = backplane.connect_by(link.address()).await;
        let (_seen, subscription) = subscribe(&node, CHANNEL).await;
        rig.goes_on().await;
        drop((subscription, node));
        until("its connections end", async || link.connections() == 0).await;
        rig.goes_on().await;
    }
    rig.ends_whole().await;
}

pub(crate) async fn a_publish_that_is_repeated_by_its_key_arrives_once(backplane: impl Remote) {
    let link = Proxy::start(backplane.address()).await;
    let node = backplane.connect_by(link.address()).await;
    let listener = backplane.connect_by(backplane.address()).await;
    let (seen, _subscription) = subscribe(&listener, CHANNEL).await;
    for n in 0..100_u64 {
        let event = Event::new("e", json!(n)).with_key(n.to_string());
        // The first attempt is cut, anywhere on its way.
        let cut = async {
            sleep(Duration::from_micros(fastrand::u64(..8_000))).await;
            link.cut();
        };
        let (published, ()) = futures_util::join!(node.publish(CHANNEL, event.clone()), cut);
        if published.is_err() {
            publish_at_last(&node, CHANNEL, event).await;
        }
    }
    let told = seen.events(100).await;
    assert_eq!(told.iter().map(number).collect::<Vec<_>>(), (0..100).collect::<Vec<_>>());
}
