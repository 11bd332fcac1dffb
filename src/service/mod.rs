//! The one way down, without a transport.
//!
//! A door (HTTP, later others) translates a request to an [`Ask`] and an [`Answered`] to a response; all between them is
//! here. Nothing here knows a status, a header or a body.
//!
//! ```text
//! images under a task:    pin -> room -> [the door reads the body] -> admit -> prepare -> engine -> top-k
//! features of images:     pin -> room -> [the door reads the body] -> admit -> prepare -> engine
//! an image under tasks:   room -> [the door reads the body] -> pin -> admit -> prepare -> engine -> top-k
//! ```
//!
//! | file | holds |
//! |---|---|
//! | `ask`, `answer`, `spent`, `predictions` | what goes in and comes out |
//! | `code`, `error`, `causes` | why there is no answer: codes, advice to retry, operands |
//! | `handle` | [`Service`]: pinning, admission, counting, readiness |
//! | `classify`, `classify_many`, `embed` | images under a task, an image under tasks, features |
//! | `infer` | images under a task, with all that it gives |
//! | `decoders`, `prepare`, `rows` | places to decode in, bytes to pixels, pixels to logits |
//! | `maker` | what made an answer |
//! | `memory` | what all requests hold together |
//! | `tasks`, `publishing`, `receiving` | what is published, and publishing |
//! | `refusal`, `rejection` | refusals and costs as doors leave them with their answers; why there was no room |
//! | `tallies`, `counted` | what tasks did |
//! | `about` | what runs here, and how much waits |
//! | `told` | what a caller is told of an error inside |

mod about;
mod answer;
mod ask;
mod bill;
mod callers;
mod causes;
mod classify;
mod classify_many;
mod code;
mod counted;
mod decoders;
mod embed;
mod error;
mod handle;
mod infer;
mod keeping;
mod maker;
mod memory;
mod options;
mod predictions;
mod prepare;
mod publishing;
mod receiving;
mod refusal;
mod rejection;
mod rows;
mod spent;
mod tallies;
mod tasks;
mod told;

pub use about::{About, Load};
pub use answer::{Answered, AnsweredMany, Features, RowRun, TaskAnswer};
pub use ask::{Ask, AskFeatures, AskMany, Picture, Terms};
pub use code::Code;
pub use error::Error;
pub use handle::{Parts, Service};
pub use infer::{AskOutputs, Output, Outputs};
pub use keeping::{AFFINITY, PREFIX_CACHE, may_keep};
pub use maker::{BUILD, Fact, Maker};
pub use memory::{Held, Memory};
pub use options::ServiceOptions;
pub use predictions::{Prediction, Predictions, Said, scores};
pub use receiving::Receiving;
pub use refusal::{Costs, Refusal};
pub use rejection::{Ending, Rejection};
pub use spent::Spent;
pub use tallies::{Phase, Tally};
pub use tasks::{Page, TaskDetails};
