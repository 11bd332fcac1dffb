//! What of the data was left out.

use std::path::Path;

use mimi_server::train::{LeftOut, summary};

/// Files shown by name; the rest are counted.
const SHOWN: usize = 10;

/// Counts what was left out by reason and names the first, or the file that lists all.
pub fn tell_left_out(left_out: &[LeftOut], list: Option<&Path>) {
    let Some(summary) = summary(left_out) else { return };
    println!("{summary}");
    match list {
        Some(list) => println!("  all are listed in {}", list.display()),
        None => {
            left_out.iter().take(SHOWN).for_each(|one| println!("  {one}"));
            if left_out.len() > SHOWN {
                println!("  and {} more: --list-skipped FILE lists all", left_out.len() - SHOWN);
            }
        }
    }
}
