//! Who is tried by an automatic choice: ordinary commands.

use std::ffi::{OsStr, OsString};

use anyhow::{Context, Result, bail};
use mimi_server::train::study::auto::{AutoOptions, Candidate};

use super::{Command, TrainArgs, typed};

/// Options of an automatic choice, and whether a value follows them.
const OWN: [(&str, bool); 5] = [
    ("--auto", false),
    ("--minutes", true),
    ("--prefer", true),
    ("--rung-epochs", true),
    ("--auto-reports", true),
];

/// Who is tried: a name, and the options of `train-task` that train so. The most promising stand first among those that train
/// modules: where time is short, the last ones are left out. `{half}` is the block in the middle of the backbone.
const CANDIDATES: &[(&str, &str)] = &[
    ("head", "--method linear"),
    ("head, strong decay", "--method linear --weight-decay 1"),
    ("head, weak decay", "--method linear --weight-decay 0.001"),
    ("depth head", "--method depth-head"),
    (
        "Adapter+",
        "--method adapter-plus --learning-rate 0.003 --first-block {half} --batch 32 --micro-batch 32",
    ),
    ("BitFit", "--method bitfit --learning-rate 0.003 --first-block {half} --batch 32 --micro-batch 32"),
    (
        "Adapter+, crops",
        "--method adapter-plus --learning-rate 0.003 --first-block {half} --batch 32 --micro-batch 32 --crop 0.7 --variants 8",
    ),
    (
        "Adapter+, crops and flips",
        "--method adapter-plus --learning-rate 0.003 --first-block {half} --batch 32 --micro-batch 32 --augment light --variants 8",
    ),
    (
        "BitFit, crops and flips",
        "--method bitfit --learning-rate 0.003 --first-block {half} --batch 32 --micro-batch 32 --augment light --variants 8",
    ),
    (
        "SSF, crops",
        "--method ssf --learning-rate 0.003 --first-block {half} --batch 32 --micro-batch 32 --crop 0.7 --variants 8",
    ),
    (
        "MiMi, crops and flips",
        "--method mimi --init identity --sigma-0 24 --sigma 192 --learning-rate 0.003 --weight-decay 0.0001 --smoothing 0 \
         --drop-path 0.1 --first-block {half} --batch 32 --micro-batch 32 --augment light --variants 8",
    ),
    (
        "MiMi, front first, crops and flips",
        "--method mimi --cut front-first --init identity --sigma-0 24 --sigma 192 --learning-rate 0.003 --weight-decay 0.0001 \
         --smoothing 0 --drop-path 0.1 --first-block {half} --batch 32 --micro-batch 32 --augment light --variants 8",
    ),
    (
        "Adapter+, slower, crops and flips",
        "--method adapter-plus --learning-rate 0.001 --first-block {half} --batch 32 --micro-batch 32 --augment light --variants 8",
    ),
];

impl TrainArgs {
    /// What to choose, on a backbone of `depth` blocks.
    ///
    /// # Errors
    /// When the options contradict each other.
    pub fn automatic(&self, depth: usize) -> Result<AutoOptions> {
        let words = ordinary(typed());
        let candidate = |&(name, options): &(&str, &str)| {
            candidate((name, options), &words, depth).with_context(|| name.to_owned())
        };
        Ok(AutoOptions {
            task: self.options()?,
            command: words.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            candidates: CANDIDATES.iter().map(candidate).collect::<Result<_>>()?,
            limit: self.auto.limit(),
            prefer: self.auto.prefer(),
            reports: self.auto.auto_reports.clone(),
            seed: self.seed,
        })
    }
}

/// What was typed without the options of an automatic choice.
fn ordinary(typed: Vec<OsString>) -> Vec<OsString> {
    let mut words = typed.into_iter();
    let mut kept = Vec::new();
    while let Some(word) = words.next() {
        match own(&word) {
            None => kept.push(word),
            Some(false) => {}
            Some(true) => drop(words.next()),
        }
    }
    kept
}

/// Whether the next word is the value of an option of an automatic choice; none where a word is no such option.
fn own(word: &OsStr) -> Option<bool> {
    let text = word.to_string_lossy();
    let name = text.split('=').next().unwrap_or_default();
    let (_, has_value) = OWN.iter().find(|(own, _)| *own == name)?;
    Some(*has_value && name == text)
}

/// A candidate: what the ordinary command would mean with its options.
fn candidate((name, options): (&str, &str), words: &[OsString], depth: usize) -> Result<Candidate> {
    let options = options.replace("{half}", &(depth / 2).to_string());
    let options: Vec<String> = options.split_whitespace().map(str::to_owned).collect();
    let typed: Vec<OsString> = words.iter().cloned().chain(options.iter().map(OsString::from)).collect();
    let cli = super::parse(&typed).map_err(|refusal| anyhow::anyhow!("{refusal}"))?;
    let Command::TrainTask(args) = cli.command else { bail!("it is not an option of train-task") };
    Ok(Candidate { name: name.to_owned(), options, method: args.options()?.method })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::super::Cli;
    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split_whitespace().map(OsString::from).collect()
    }

    #[test]
    fn every_candidate_is_an_ordinary_command() {
        let command = words("server train-task --task a --data b --seed 7");
        for &(name, options) in CANDIDATES {
            let found = candidate((name, options), &command, 12).unwrap();
            assert!(found.options.iter().all(|word| !word.contains('{')), "{name}");
            assert_eq!(found.is_head(), options.starts_with("--method linear"), "{name}");
        }
        let mut names: Vec<&str> = CANDIDATES.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CANDIDATES.len());
    }

    #[test]
    fn whatever_a_candidate_decides_is_refused() {
        let mut command = Cli::command();
        command.build();
        let train = command.find_subcommand("train-task").unwrap();
        let auto = train.get_arguments().find(|arg| arg.get_id() == "auto").unwrap();
        let refused: Vec<&str> =
            train.get_arg_conflicts_with(auto).iter().map(|arg| arg.get_id().as_str()).collect();
        let decided = |heading: Option<&str>| matches!(heading, Some("Adapters" | "Augmentation"));
        let mut seen = 0;
        for arg in train.get_arguments().filter(|arg| decided(arg.get_help_heading())) {
            assert!(refused.contains(&arg.get_id().as_str()), "{arg}");
            seen += 1;
        }
        assert!(seen > 20, "{seen} options");
    }

    #[test]
    fn a_command_loses_what_is_of_the_choice_alone() {
        let typed = words(
            "server train-task --auto --task a --minutes 3 --data b --prefer=cost --rung-epochs 2 --auto-reports r --seed 1",
        );
        assert_eq!(ordinary(typed), words("server train-task --task a --data b --seed 1"));
    }
}
