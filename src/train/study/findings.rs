//! What a study found, as Markdown.

use std::collections::BTreeSet;
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
    out += &origins(protocol, runs)?;
    out += &crossings(&all);
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

/// Which protocol and which programs the runs bear.
fn origins(protocol: &Protocol, runs: &[Run]) -> Result<String> {
    let digest = protocol.digest()?;
    let others = runs.iter().filter(|run| run.protocol.as_ref() != Some(&digest)).count();
    let mut out = format!("\n\nProtocol: SHA-256 {digest}; {others} runs bear another, or none.");
    let programs: BTreeSet<&str> = runs.iter().map(|run| run.machine.program.as_str()).collect();
    let named = |program: &str| if program.is_empty() { "unknown".into() } else { program.to_owned() };
    let named: Vec<String> = programs.into_iter().map(named).collect();
    write!(out, " Programs: {}.", if named.is_empty() { "none".into() } else { named.join(", ") })?;
    Ok(out)
}

/// Which comparisons set runs of different programs against each other.
fn crossings(all: &[Effect]) -> String {
    let named = |effect: &Effect| format!("{} ({})", effect.comparison.name, effect.crossing);
    let crossed: Vec<String> = all.iter().filter(|effect| effect.crossing > 0).map(named).collect();
    match crossed.is_empty() {
        true => String::new(),
        false => format!("\n\n**Warning:** pairs of runs by different programs: {}.", crossed.join(", ")),
    }
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
            bound(effect),
            estimate.map_or(String::new(), |estimate| effect.told(estimate)),
            interval
                .map_or(String::new(), |at| format!("{} to {}", effect.told(at.low), effect.told(at.high))),
            told(*p),
            told(*adjusted),
            told(*over_sets),
            effect.sets.len().to_string(),
            format!("{} of {}", effect.pairs, effect.expected),
            word(effect.verdict()).into(),
        ];
        writeln!(out, "| {} |", cells.join(" | "))?;
    }
    out += "\nA gain is the mean over sets of the mean over seeds, paired by seed. The interval is a bootstrap over sets, then \
            seeds. p is the sign-flip test of a gain above the bound, one-sided, on these sets; \"p, Holm\" is that of its \
            family of comparisons together; \"p over sets\" is Wilcoxon's signed-rank test of the same, made with five sets or \
            more. Open: pairs are missing, or so few that p cannot be 0.05. Met: the gain reaches the bound. Shown: \"p, Holm\" \
            is at most 0.05, too. Costs are ratios, which are exact: shown is at most the bound.\n";
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

/// The bound of a comparison's success.
fn bound(effect: &Effect) -> String {
    let bound = effect.comparison.bound();
    match effect.comparison.above {
        Some(above) => format!("> {above}"),
        None if effect.is_gain() => format!("{bound:+}"),
        None => format!("≤ {bound}"),
    }
}

fn told(p: Option<f64>) -> String {
    p.map_or(String::new(), |p| format!("{p:.4}"))
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Open => "open",
        Verdict::TooFew => "open: too few pairs",
        Verdict::Missed => "missed",
        Verdict::Met => "met",
        Verdict::Shown => "shown",
    }
}
