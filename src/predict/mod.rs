//! Scoring of folders: every image under some tasks, by an engine of this process or by a running server.
//!
//! Both are asked by the same requests, and what is written is what the HTTP door answers. Images are asked a few at a
//! time and written in their order, a line each. An interrupted run goes on after its last line.
//!
//! | file | holds |
//! |---|---|
//! | `images` | which images |
//! | `question` | one image as a request, and its answer |
//! | `asker`, `local`, `remote` | who answers |
//! | `patience` | what is tried again, and how long |
//! | `ledger` | what is written until the end, and where a run goes on |
//! | `table` | the same as CSV |
//! | `run` | one image after the other |

mod asker;
mod images;
mod ledger;
mod local;
mod patience;
mod question;
mod remote;
mod run;
mod table;

pub use asker::{Asker, Failure};
pub use images::{Listed, images};
pub use ledger::Format;
pub use local::Local;
pub use question::{Body, Question, Reply};
pub use remote::{Remote, RemoteOptions};
pub use run::{Progress, Settings, Summary, run};
