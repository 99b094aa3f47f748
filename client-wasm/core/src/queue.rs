//! First in, first out.

/// A queue that is small in code: what is taken out is what was there when the last batch was used up.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    batch: std::vec::IntoIter<E>,
    next: Vec<E>,
}

impl<E> Queue<E> {
    pub(crate) fn new() -> Self {
        Self { batch: Vec::new().into_iter(), next: Vec::new() }
    }

    pub(crate) fn push(&mut self, entry: E) {
        self.next.push(entry);
    }

    pub(crate) fn pop(&mut self) -> Option<E> {
        if self.batch.len() == 0 {
            self.batch = std::mem::take(&mut self.next).into_iter();
        }
        self.batch.next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out_whenever_entries_come() {
        let mut queue = Queue::new();
        queue.push(1);
        queue.push(2);
        assert_eq!(queue.pop(), Some(1));
        queue.push(3);
        assert_eq!((queue.pop(), queue.pop(), queue.pop()), (Some(2), Some(3), None));
        queue.push(4);
        assert_eq!((queue.pop(), queue.pop()), (Some(4), None));
    }
}
