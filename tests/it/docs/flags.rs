//! The flags of every command, as its help prints them.

use std::fmt::Write;

use super::check_page;
use crate::support;

const HEAD: &str = "# Flags\n\nWhat `server COMMAND --help` prints. Every flag with `[env: NAME]` can be set by that \
                    environment variable too; the command line wins.\n";

/// The help of a command; nothing of this process's environment or terminal shows in it.
fn help(command: Option<&str>) -> String {
    let args: Vec<&str> = command.into_iter().chain(["--help"]).collect();
    let done = support::command(&args).env("COLUMNS", "100").output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap().replace("=]", "]");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// Names of the commands, in the order of the help.
fn commands(help: &str) -> Vec<&str> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let names = listed
        .take_while(|line| !line.is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.filter_map(|line| line.split_whitespace().next()).filter(|name| *name != "help").collect()
}

#[test]
fn the_flags_are_those_there_are() {
    let all = help(None);
    let mut text = HEAD.to_owned();
    for command in commands(&all) {
        write!(text, "\n## server {command}\n\n```text\n{}\n```\n", help(Some(command)).trim_end()).unwrap();
    }
    assert!(text.contains("## server serve") && text.contains("MIMI_PORT"), "{all}");
    check_page("reference/flags.md", &text);
}
