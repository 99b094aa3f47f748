//! The page around the client, where there is one: the network's coming and going, and whether anyone looks.

use crate::{driver::Client, js};
use std::rc::Rc;
use tidings_client_core::PageChange;
use wasm_bindgen::prelude::*;
use web_sys::EventTarget;

const WINDOW_EVENTS: [&str; 3] = ["online", "offline", "pageshow"];
const DOCUMENT_EVENTS: [&str; 1] = ["visibilitychange"];

/// Listens until it is dropped.
pub(crate) struct Page {
    /// Each with the events listened to. A worker has no document, Node.js has neither.
    targets: Vec<(EventTarget, &'static [&'static str])>,
    listener: Closure<dyn Fn(JsValue)>,
}

fn visibility() -> PageChange {
    match js::property(&js::property(&js::global(), "document"), "visibilityState").as_string() {
        Some(state) if state == "hidden" => PageChange::Hidden,
        _ => PageChange::Visible,
    }
}

fn network() -> PageChange {
    match js::property(&js::property(&js::global(), "navigator"), "onLine").as_bool() {
        Some(false) => PageChange::Offline,
        _ => PageChange::Online,
    }
}

impl Page {
    /// What the page is like at this moment.
    pub(crate) fn now() -> [PageChange; 2] {
        [network(), visibility()]
    }

    pub(crate) fn listen(client: Rc<Client>) -> Self {
        let listener = Closure::<dyn Fn(JsValue)>::new(move |event: JsValue| {
            let change = match js::property(&event, "type").as_string().as_deref() {
                Some("online") => PageChange::Online,
                Some("offline") => PageChange::Offline,
                Some("visibilitychange") => visibility(),
                // A page that is shown for the first time has just connected.
                _ if js::property(&event, "persisted").is_truthy() => PageChange::Restored,
                _ => return,
            };
            client.act(|core, now| core.page(now, change));
        });
        let global = js::global();
        let document = js::property(&global, "document");
        let mut targets = Vec::new();
        for (target, events) in [(global, &WINDOW_EVENTS[..]), (document, &DOCUMENT_EVENTS[..])] {
            if js::property(&target, "addEventListener").is_function() {
                let target: EventTarget = target.unchecked_into();
                for event in events {
                    let _ = target.add_event_listener_with_callback(event, listener.as_ref().unchecked_ref());
                }
                targets.push((target, events));
            }
        }
        Self { targets, listener }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        for (target, events) in &self.targets {
            for event in *events {
                let listener = self.listener.as_ref().unchecked_ref();
                let _ = target.remove_event_listener_with_callback(event, listener);
            }
        }
    }
}
