//! Subcommands, one a file.

pub mod health;
pub mod import_backbone;
pub mod inspect;
pub mod serve;
