//! What a study found, as Markdown.

use std::fmt::Write;

use anyhow::Result;

use super::effects::{Effect, Gained, Verdict, effects};
use super::protocol::Protocol;
use super::run::{Purpose, Run};
use super::standings::standings;
use super::table::table;

/// The report: answers first, then each set's gains, then accuracy and cost of every arm.
///
/// # Errors
/// When the published accuracies in this program cannot be read.
pub fn findings(protocol: &Protocol, runs: &[Run]) -> Result<String> {
    let all = effects(protocol, runs);
    let made = runs.iter().filter(|run| run.plan.purpose == Purpose::Result).count();
    let mut out = format!("# {}\n\n{}\n\n{made} runs.", protocol.title, protocol.question);
    out += &closed(protocol, runs);
    out += "\n\n## Answers\n\n";
    out += &answers(&all)?;
    out += "\n## Gains by set\n\n";
    out += &by_set(protocol, &all)?;
    out += "\n";
    out += &table(&standings(runs))?;
    Ok(out)
}

/// What the stop rule says, once it has decided.
fn closed(protocol: &Protocol, runs: &[Run]) -> String {
    let first = protocol.first_sets();
    let missing = protocol.missing(runs);
    let Some(stop) = protocol.stop else { return String::new() };
    if missing > 0 {
        return format!(
            " The stop rule decides after {} sets; {missing} runs of them are missing.",
            stop.after
        );
    }
    let effects = effects(&first, runs);
    let names: Vec<&str> =
        protocol.settled(&effects).iter().map(|effect| effect.comparison.name.as_str()).collect();
    let named = if names.is_empty() { "none".into() } else { names.join(", ") };
    let within = stop.within;
    format!(
        " After {} sets these comparisons lay within {within} points and were not pursued: {named}.",
        stop.after
    )
}

fn answers(all: &[Effect]) -> Result<String> {
    let mut out = String::from(
        "| comparison | of | over | bound | gain, points, or ratio | 95 % interval | p | p, Holm | p over sets | sets | pairs | \
         verdict |\n|---|---|---|--:|--:|--:|--:|--:|--:|--:|--:|---|\n",
    );
    for effect in all {
        let Effect { comparison, estimate, interval, p, adjusted, over_sets, .. } = effect;
        let cells = [
            comparison.name.clone(),
            comparison.of.clone(),
            comparison.over.clone(),
            if effect.is_gain() {
                format!("{:+}", comparison.bound())
            } else {
                format!("≤ {}", comparison.bound())
            },
            estimate.map_or(String::new(), |estimate| effect.told(estimate)),
            interval
                .map_or(String::new(), |at| format!("{} to {}", effect.told(at.low), effect.told(at.high))),
            told(*p),
            told(*adjusted),
            told(*over_sets),
            effect.sets.len().to_string(),
            effect.pairs.to_string(),
            word(effect.verdict()).into(),
        ];
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    out += "\nA gain is the mean over sets of the mean over seeds, paired by seed. The interval is a bootstrap over sets, then \
            seeds. p is the exact sign-flip test on these sets; \"p, Holm\" is that of its family of comparisons together; \
            \"p over sets\" is Wilcoxon's signed-rank test, made with six sets or more. Met: the gain is at least the bound. \
            Shown: so is the interval's lower end, of three pairs or more. \
            Costs are ratios, which are exact: shown is at most the bound.\n";
    Ok(out)
}

fn by_set(protocol: &Protocol, all: &[Effect]) -> Result<String> {
    let names: Vec<&str> = all.iter().map(|effect| effect.comparison.name.as_str()).collect();
    let mut out = format!("| set | {} |\n|---|{}\n", names.join(" | "), "--:|".repeat(names.len()));
    for set in &protocol.sets {
        let cell = |effect: &Effect| {
            let own = effect.sets.iter().find(|gained| gained.set == set.name);
            own.map_or(String::new(), |Gained { gains, .. }| {
                gains.iter().map(|gain| effect.told(*gain)).collect::<Vec<_>>().join(", ")
            })
        };
        writeln!(out, "| {} | {} |", set.name, all.iter().map(cell).collect::<Vec<_>>().join(" | "))?;
    }
    Ok(out)
}

impl Effect {
    /// A number of its kind.
    fn told(&self, value: f64) -> String {
        if self.is_gain() { format!("{value:+.2}") } else { format!("{value:.3}") }
    }
}

fn told(p: Option<f64>) -> String {
    p.map_or(String::new(), |p| format!("{p:.4}"))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Open => "open",
        Verdict::Missed => "missed",
        Verdict::Met => "met",
        Verdict::Shown => "shown",
    }
}
