//! The page around the client, where there is one: the network's coming and going, and whether anyone looks.

use crate::{driver::Client, js};
use std::rc::Rc;
use tidings_client_core::PageChange;
use wasm_bindgen::prelude::*;
use web_sys::EventTarget;

/// What is listened to, all of it at the window: a change of visibility comes up from the document.
const EVENTS: [&str; 4] = ["online", "offline", "pageshow", "visibilitychange"];

/// Listens until it is dropped.
pub(crate) struct Page {
    window: EventTarget,
    listener: Closure<dyn Fn(JsValue)>,
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

    /// `None` where nothing reports such things, as in Node.js.
    pub(crate) fn listen(client: Rc<Client>) -> Option<Self> {
        let window = js::global();
        if !js::property(&window, "addEventListener").is_function() {
            return None;
        }
        let window: EventTarget = window.unchecked_into();
        let listener = Closure::<dyn Fn(JsValue)>::new(move |event: JsValue| {
            let event_type = js::property(&event, "type").as_string().unwrap_or_default();
            let change = match event_type.as_str() {
                "visibilitychange" => visibility(),
                // A page that is shown for the first time has just connected.
                "pageshow" if js::property(&event, "persisted").is_falsy() => return,
                "pageshow" => PageChange::Restored,
                _ => network(),
            };
            client.act(|core, now| core.page(now, change));
        });
        for event in EVENTS {
            let _ = window.add_event_listener_with_callback(event, listener.as_ref().unchecked_ref());
        }
        Some(Self { window, listener })
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        for event in EVENTS {
            let listener = self.listener.as_ref().unchecked_ref();
            let _ = self.window.remove_event_listener_with_callback(event, listener);
        }
    }
}
