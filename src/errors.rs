//! An error and its causes in one line.

use std::error::Error;

/// The error, its cause, the cause's cause and so on, joined by colons. Text that one level already holds is
/// not repeated by the next: some errors include their cause's text, and a context often names the file that
/// the error names.
pub fn once(error: &(dyn Error + 'static)) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        add(&mut said, &cause.to_string());
        next = cause.source();
    }
    said
}

fn add(said: &mut String, cause: &str) {
    if cause.is_empty() || said.contains(cause) {
        return;
    }
    // What was said last may be how the cause begins: then the cause stands for both.
    let last = said.rfind(": ").map_or(0, |at| at + 2);
    if cause.starts_with(&said[last..]) {
        said.truncate(last);
        said.push_str(cause);
    } else if cause.starts_with(said.as_str()) {
        cause.clone_into(said);
    } else {
        said.push_str(": ");
        said.push_str(cause);
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn f19_a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("{path}: {source}")]
        struct Io {
            path: &'static str,
            source: std::io::Error,
        }
        let io = || Io { path: "a/b.json", source: std::io::Error::other("no such file") };
        for (error, expected) in [
            (anyhow!(io()), "a/b.json: no such file"),
            (anyhow!(io()).context("backbone a"), "backbone a: a/b.json: no such file"),
            (anyhow!(io()).context("a/b.json"), "a/b.json: no such file"),
            (anyhow!(io()).context("a/b.json").context("read"), "read: a/b.json: no such file"),
            (anyhow!("inner").context("outer"), "outer: inner"),
            (anyhow!("x: y").context("x: y"), "x: y"),
            (anyhow!("").context("only"), "only"),
        ] {
            assert_eq!(once(&*error), expected);
        }
    }
}
