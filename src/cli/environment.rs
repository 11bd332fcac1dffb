//! The environment beside the command line: an empty variable counts as unset, and an error names the variable it is in.

use std::ffi::OsString;
use std::fmt::Write;

use clap::builder::{BoolishValueParser, Resettable};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Command, CommandFactory, FromArgMatches};

use super::Cli;

/// How Kubernetes writes a Service's address into `NAME_PORT`.
const SERVICE_LINKS: [&str; 3] = ["tcp://", "udp://", "sctp://"];

/// Why there is nothing to do.
pub struct Refusal {
    error: clap::Error,
    notes: String,
}

impl Refusal {
    /// Prints what clap says (help and version too) and what the environment has to do with it, and ends the process.
    pub fn exit(&self) -> ! {
        let printed = self.error.print();
        if printed.is_ok() && !self.notes.is_empty() {
            eprint!("\n{}", self.notes);
        }
        std::process::exit(self.error.exit_code())
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.error.render().to_string().trim_end())?;
        if self.notes.is_empty() { Ok(()) } else { write!(f, "\n{}", self.notes.trim_end()) }
    }
}

/// Whether a variable that is another library's has a value.
pub fn is_set(name: &str) -> bool {
    std::env::var_os(name).is_some_and(|value| !value.is_empty())
}

/// What was typed, completed by the environment.
///
/// # Errors
/// When it cannot be understood, or asks for help.
pub fn parse(typed: &[OsString]) -> Result<Cli, Refusal> {
    let command = prepared(Cli::command());
    let parsed = command.clone().try_get_matches_from(typed);
    let parsed = parsed.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    parsed.map_err(|error| {
        let notes = notes(&error, &set(&command, typed));
        Refusal { error, notes }
    })
}

/// The command in which empty variables count as unset and switches take 1, yes and on as well as true.
fn prepared(command: Command) -> Command {
    command.mut_args(of_environment).mut_subcommands(prepared)
}

fn of_environment(arg: Arg) -> Arg {
    let Some(name) = arg.get_env() else { return arg };
    let is_empty = std::env::var_os(name).is_some_and(|value| value.is_empty());
    let arg = if is_empty { arg.env(Resettable::Reset) } else { arg };
    match arg.get_action() {
        ArgAction::SetTrue => arg.value_parser(BoolishValueParser::new()),
        _ => arg,
    }
}

/// An option that a variable sets.
struct Set {
    option: String,
    variable: OsString,
    value: OsString,
    /// Whether its value is never shown.
    is_secret: bool,
}

/// What variables set of the options of the command that was typed, where the command line does not say otherwise.
fn set(command: &Command, typed: &[OsString]) -> Vec<Set> {
    let chosen = command.get_subcommands().find(|sub| typed.iter().any(|word| word == sub.get_name()));
    let args = command.get_arguments().chain(chosen.into_iter().flat_map(Command::get_arguments));
    let set = args.filter(|arg| !is_typed(arg, typed)).filter_map(|arg| {
        let variable = arg.get_env()?.to_owned();
        let value = std::env::var_os(&variable)?;
        let is_secret = arg.is_hide_env_values_set();
        Some(Set { option: format!("--{}", arg.get_long()?), variable, value, is_secret })
    });
    set.collect()
}

fn is_typed(arg: &Arg, typed: &[OsString]) -> bool {
    let is_this = |word: &str| {
        let long = word.strip_prefix("--").map(|rest| rest.split('=').next().unwrap_or_default());
        let short = word.strip_prefix('-').filter(|rest| !rest.starts_with('-'));
        (long.is_some() && long == arg.get_long())
            || short.and_then(|rest| rest.chars().next()).is_some_and(|c| arg.get_short() == Some(c))
    };
    typed.iter().filter_map(|word| word.to_str()).any(is_this)
}

/// Which of the environment's settings an error is about.
fn notes(error: &clap::Error, set: &[Set]) -> String {
    let mut notes = String::new();
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        return notes;
    }
    let said = error.to_string();
    // The error's first part names options; what follows is how to use the command.
    let said = said.split("\n\nUsage:").next().unwrap_or_default();
    for Set { option, variable, value, is_secret } in set {
        let is_garbled = error.kind() == ErrorKind::InvalidUtf8 && value.to_str().is_none();
        if is_garbled || names(said, option) {
            let (variable, value) = (variable.to_string_lossy(), value.to_string_lossy());
            let value = if *is_secret { "(not shown)".into() } else { value };
            // A write into a text does not fail.
            let _ = writeln!(notes, "note: {option} is set by the environment: {variable}={value}");
            if SERVICE_LINKS.iter().any(|scheme| value.starts_with(scheme)) {
                let _ = writeln!(notes, "{}", collision(&variable));
            }
        }
    }
    notes
}

/// Whether a text names an option, and not only one whose name begins the same.
fn names(text: &str, option: &str) -> bool {
    text.match_indices(option).any(|(at, _)| {
        let next = text[at + option.len()..].chars().next();
        !next.is_some_and(|c| c.is_alphanumeric() || c == '-' || c == '_')
    })
}

fn collision(variable: &str) -> String {
    let service = variable.trim_end_matches("_PORT").to_lowercase().replace('_', "-");
    format!(
        "note: Kubernetes sets {variable} so in every pod beside a Service named {service:?}. Give {variable} a value in the \
         pod's env, or set `enableServiceLinks: false` in its spec, or name the Service otherwise"
    )
}

/// What was typed.
pub fn typed() -> Vec<OsString> {
    std::env::args_os().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_named_whole() {
        assert!(names("invalid value 'x' for '--port <PORT>'", "--port"));
        assert!(!names("invalid value 'x' for '--port-range <A>'", "--port"));
        assert!(!names("invalid value 'x' for '--admin-port <A>'", "--port"));
    }

    #[test]
    fn secrets_are_not_shown() {
        let error = clap::Error::raw(ErrorKind::InvalidValue, "invalid value for '--key <K>'");
        let set =
            |is_secret| Set { option: "--key".into(), variable: "K".into(), value: "abc".into(), is_secret };
        assert!(notes(&error, &[set(false)]).contains("K=abc"));
        let told = notes(&error, &[set(true)]);
        assert!(told.contains("K=(not shown)") && !told.contains("abc"), "{told}");
    }

    #[test]
    fn what_was_typed_is_not_the_environments() {
        let arg = Arg::new("port").long("port").short('p');
        let typed = |word: &str| is_typed(&arg, &[word.into()]);
        assert!(typed("--port") && typed("--port=1") && typed("-p1") && typed("-p"));
        assert!(!typed("--portal=1") && !typed("port") && !typed("-q"));
    }
}
