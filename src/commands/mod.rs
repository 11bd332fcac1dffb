//! Subcommands, one a file.

pub mod health;
pub mod inspect;
pub mod serve;
