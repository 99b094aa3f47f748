//! The page around the client, where there is one: the network's coming and going, and whether anyone looks.

use crate::js;
use js_sys::Function;
use tidings_client_core::PageChange;
use wasm_bindgen::prelude::*;
use web_sys::EventTarget;

/// What is listened to, all of it at the window: a change of visibility comes up from the document.
const EVENTS: [&str; 4] = ["online", "offline", "pageshow", "visibilitychange"];

/// Listens until it is dropped.
pub(crate) struct Page {
    window: EventTarget,
    listener: Function,
}

fn visibility() -> PageChange {
    match js::property(&js::property(&js::global(), "document"), "hidden").as_bool() {
        Some(true) => PageChange::Hidden,
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

    /// What an event says about the page.
    pub(crate) fn change(event: &JsValue) -> Option<PageChange> {
        if js::is(event, "type", "visibilitychange") {
            Some(visibility())
        } else if js::is(event, "type", "pageshow") {
            // A page that is shown for the first time has just connected.
            js::property(event, "persisted").is_truthy().then_some(PageChange::Restored)
        } else {
            Some(network())
        }
    }

    /// `None` where nothing reports such things, as in Node.js.
    pub(crate) fn listen(listener: Function) -> Option<Self> {
        let window = js::global();
        if !js::property(&window, "addEventListener").is_function() {
            return None;
        }
        let window: EventTarget = window.unchecked_into();
        for event in EVENTS {
            let _ = window.add_event_listener_with_callback(event, &listener);
        }
        Some(Self { window, listener })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        for event in EVENTS {
            let _ = self.window.remove_event_listener_with_callback(event, &self.listener);
        }
    }
}
