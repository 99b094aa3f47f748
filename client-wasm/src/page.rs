//! The page around the client, where there is one: the network's coming and going, and whether anyone looks.

use crate::js;
use tidings_client_core::PageChange;

/// What the page is like at this moment.
pub(crate) fn now() -> [Option<PageChange>; 2] {
    [change(js::network()), change(js::visibility())]
}

/// A change as `primitives.js` numbers it.
pub(crate) const fn change(number: u32) -> Option<PageChange> {
    Some(match number {
        0 => PageChange::Online,
        1 => PageChange::Offline,
        2 => PageChange::Visible,
        3 => PageChange::Hidden,
        4 => PageChange::Restored,
        _ => return None,
    })
}
