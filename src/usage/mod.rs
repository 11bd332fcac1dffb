//! What each tenant used: counted at once, written as lines, summed to a bill.
//!
//! [`Usage::charge`] adds to counters in memory and never waits for the disk. A thread takes them at every flush interval
//! and writes one [`Line`] for each tenant, key and task with something new. `(boot, seq)` of a line is unique, and whoever
//! sums drops lines that were read before, so nothing is charged twice. A crash loses what was counted since the last flush.
//!
//! | file | holds |
//! |---|---|
//! | `charge` | what is counted: [`Billed`], [`Charge`], [`Sum`] |
//! | `line` | what is written: [`Line`] |
//! | `shards` | counters that requests add to |
//! | `book` | counters between requests and the log |
//! | `labels` | series by tenant, a bounded number |
//! | `totals` | today, this month and the last, by tenant and task |
//! | `record` | totals and how far the log's files were read, as one value that can be stored |
//! | `keeper` | one flush after the other, time an argument |
//! | `handle` | [`Usage`], and the thread that flushes |
//! | `bill` | `server usage`: sums over a folder |
//! | `table` | sums as a table, CSV or JSON |

mod bill;
mod book;
mod charge;
mod handle;
mod keeper;
mod labels;
mod line;
mod record;
mod shards;
mod table;
mod totals;

pub use bill::{Bill, BillRow, By, Problem, Range, bill};
pub use charge::{Billed, Charge, NO_TENANT, Sum};
pub use handle::{Usage, UsageOptions};
pub use keeper::{Keeper, Log};
pub use line::{FAMILY, Line};
pub use table::{csv, json, table};
pub use totals::Used;
