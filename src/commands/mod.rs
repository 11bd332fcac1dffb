//! Subcommands, one a file.

mod automatic;
mod backbone;
pub mod bench;
pub mod compare;
pub mod eval;
pub mod gc;
pub mod health;
pub mod import_backbone;
pub mod import_pack;
pub mod inspect;
mod judged;
pub mod keys;
mod left_out;
mod lines;
pub mod predict;
mod progress;
mod proof;
pub mod publish;
pub mod rollback;
pub mod serve;
pub mod study;
pub mod train_task;
pub mod tune;
pub mod usage;
pub mod verify;
pub mod versions;
mod waiting;
