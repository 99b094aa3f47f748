//! Lists that are short most of the time.

use std::mem;

/// Takes out one element; the others keep their order. `Vec::remove` would bring a panic and all that formats its
/// message into the browser.
pub(crate) fn remove<E>(list: &mut Vec<E>, index: usize) -> Option<E> {
    let mut places = list.get_mut(index..)?.iter_mut();
    let mut removed = places.next()?;
    for place in places {
        mem::swap(removed, place);
        removed = place;
    }
    list.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_others_keep_their_order() {
        let mut list = vec![1, 2, 3, 4];
        assert_eq!((remove(&mut list, 1), remove(&mut list, 3)), (Some(2), None));
        assert_eq!((remove(&mut list, 2), remove(&mut list, 0)), (Some(4), Some(1)));
        assert_eq!((remove(&mut list, 0), remove(&mut list, 0)), (Some(3), None));
    }
}
