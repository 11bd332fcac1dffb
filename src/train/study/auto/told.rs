//! What became of each training, and how to repeat the chosen one.

use anyhow::{Context, Result};

use super::asked::Candidate;
use super::found::Tried;
use super::state::{Measured, Record, State};

/// Every training that was made, with what became of it.
pub(super) fn tried(state: &State, chosen: &str, finalists: &[&str]) -> Vec<Tried> {
    let of = |record: &Record| {
        let (accuracy, cost, seconds) = match &record.result {
            Ok(Measured { cost, train_seconds, .. }) => (accuracy(record), Some(*cost), Some(*train_seconds)),
            Err(_) => (None, None, None),
        };
        let Record { name, rung, epochs, steps, .. } = record.clone();
        Tried {
            name,
            rung,
            epochs,
            steps,
            accuracy,
            cost,
            seconds,
            fate: fate(state, record, chosen, finalists),
        }
    };
    state.records().iter().map(of).collect()
}

/// Share of the images that a training was right on.
fn accuracy(record: &Record) -> Option<f64> {
    record.result.as_ref().ok().map(|found| found.standing(false).accuracy())
}

fn fate(state: &State, record: &Record, chosen: &str, finalists: &[&str]) -> String {
    let Record { name, rung, result, .. } = record;
    let goes_on = state.records().iter().any(|other| other.name == *name && other.rung > *rung);
    let is_last = finalists.contains(&name.as_str()) || *rung == 0;
    match result {
        Err(reason) => format!("dropped: {reason}"),
        Ok(_) if goes_on => "went on".into(),
        Ok(_) if name == chosen => "chosen".into(),
        Ok(_) if is_last => "not chosen".into(),
        Ok(_) => {
            state.dropped(name).map_or_else(|| "not chosen".into(), |reason| format!("dropped: {reason}"))
        }
    }
}

/// The ordinary command that trains as a candidate did, in epochs each training where that is its own choice.
pub(super) fn command(words: &[String], candidate: &Candidate, epochs: Option<usize>) -> Result<String> {
    let epochs = epochs.map(|epochs| ["--epochs".to_owned(), epochs.to_string()]);
    let all = words.iter().chain(&candidate.options).map(String::as_str);
    let all = all.chain(epochs.iter().flatten().map(String::as_str));
    shlex::try_join(all).context("an option has a zero byte")
}
