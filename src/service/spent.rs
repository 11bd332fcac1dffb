//! What a request spent.

use std::time::Duration;

/// Durations and cost of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Spent {
    /// Decoding and resizing.
    pub decode: Duration,
    /// Wait for a batch.
    pub queue: Duration,
    /// The batch's run.
    pub run: Duration,
    /// Floating-point operations, a multiply-add counting as 2.
    pub flops: u64,
    /// Rows in the batch.
    pub batch_rows: usize,
}

impl Spent {
    /// The numbers by the names that every door gives them: the cost, and for who may know what ran beside it
    /// ([`may_know_load`](super::Service::may_know_load)) the times too. Times are microseconds.
    pub fn told(&self, knows_load: bool) -> impl Iterator<Item = (&'static str, u64)> + use<> {
        let cost = [("x-mimi-flops", self.flops)];
        let load = [
            ("x-mimi-decode-us", self.decode.as_micros() as u64),
            ("x-mimi-queue-us", self.queue.as_micros() as u64),
            ("x-mimi-run-us", self.run.as_micros() as u64),
            ("x-mimi-batch-rows", self.batch_rows as u64),
        ];
        cost.into_iter().chain(load.into_iter().filter(move |_| knows_load))
    }

    /// The longest times of rows served side by side, and the sum of their FLOPs.
    pub fn join(self, other: Self) -> Self {
        Self {
            decode: self.decode.max(other.decode),
            queue: self.queue.max(other.queue),
            run: self.run.max(other.run),
            flops: self.flops + other.flops,
            batch_rows: self.batch_rows.max(other.batch_rows),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_side_by_side_take_the_longest_and_cost_the_sum() {
        let us = Duration::from_micros;
        let spent = |decode, queue, run, flops, batch_rows| Spent {
            decode: us(decode),
            queue: us(queue),
            run: us(run),
            flops,
            batch_rows,
        };
        assert_eq!(spent(1, 5, 3, 10, 2).join(spent(2, 4, 3, 7, 4)), spent(2, 5, 3, 17, 4));
        assert_eq!(Spent::default().join(spent(1, 2, 3, 4, 5)), spent(1, 2, 3, 4, 5));
    }
}
