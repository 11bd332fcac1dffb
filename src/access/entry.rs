//! What a line says.

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::notes::Learnt;
use crate::journal::time::text;

/// Longest path of a line, bytes.
const PATH: usize = 512;

/// A request that ended.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When it ended.
    pub at: Timestamp,
    /// Its name.
    pub id: String,
    /// Its trace, where traces are on.
    pub trace: Option<u128>,
    /// The method.
    pub method: String,
    /// The path, without a query.
    pub path: String,
    /// The status of HTTP; none where the request's client went away before its answer.
    pub status: Option<u16>,
    /// The status of gRPC, where it was told before a body.
    pub grpc: Option<u16>,
    /// From its head to its answer's.
    pub took: Duration,
    /// Where it came from, if its connection said so.
    pub address: Option<IpAddr>,
    /// Whose it is, and which tasks it asks for.
    pub learnt: Learnt,
}

/// A line's form.
#[derive(Serialize)]
struct Line<'a> {
    v: u8,
    time: String,
    id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
    method: &'a str,
    path: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    #[serde(skip_serializing_if = "is_false")]
    abandoned: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    grpc: Option<u16>,
    us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tasks: Vec<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    more_tasks: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl Entry {
    /// The line, without its end.
    pub(super) fn line(&self) -> Vec<u8> {
        let line = Line {
            v: 1,
            time: text(self.at),
            id: &self.id,
            trace: self.trace.map(|trace| format!("{trace:032x}")),
            method: &self.method,
            path: &self.path[..self.path.floor_char_boundary(PATH)],
            status: self.status,
            abandoned: self.status.is_none(),
            grpc: self.grpc,
            us: u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX),
            address: self.address,
            tenant: self.learnt.tenant.as_deref(),
            tasks: self.learnt.tasks.iter().map(AsRef::as_ref).collect(),
            more_tasks: self.learnt.more_tasks,
        };
        // Texts and numbers have a form in JSON, always.
        serde_json::to_vec(&line).unwrap_or_default()
    }
}
