//! TLS: what the server shows and whom it trusts, both read again when their files change.
//!
//! `live` holds what is loaded now and looks at the files. `files` reads them, `loaded` makes a configuration of them. `gate` greets one connection; `trust` keeps its client certificate and asks again whether it still holds, `names`
//! says whose it is.

mod files;
mod gate;
mod live;
mod loaded;
mod names;
mod options;
mod trust;

pub(super) use gate::{Gate, Greeted};
pub(super) use live::Live;
pub(super) use trust::Trust;

pub use options::{ClientTls, Port, TlsOptions, clear_text_warning};
