//! First in, first out.

/// A queue that is small in code and keeps its memory: what is taken out is what was there when the last batch was
/// used up.
#[derive(Debug)]
pub(crate) struct Queue<E> {
    /// The next one last.
    batch: Vec<E>,
    next: Vec<E>,
}

impl<E> Queue<E> {
    pub(crate) const fn new() -> Self {
        Self { batch: Vec::new(), next: Vec::new() }
    }

    pub(crate) fn push(&mut self, entry: E) {
        self.next.push(entry);
    }

    pub(crate) fn pop(&mut self) -> Option<E> {
        if self.batch.is_empty() {
            std::mem::swap(&mut self.batch, &mut self.next);
            self.batch.reverse();
        }
        self.batch.pop()
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
