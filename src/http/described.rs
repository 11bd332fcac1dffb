//! Headers of answers, as the description has them.

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::Operation;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{Header, RefOr};

use crate::service::Fact;

/// A header of an answer.
struct Told {
    name: &'static str,
    kind: Type,
    meaning: &'static str,
}

/// What an inference spent.
const SPENT: [Told; 6] = [
    Told { name: "x-mimi-decode-us", kind: Type::Integer, meaning: "microseconds of decoding and resizing" },
    Told { name: "x-mimi-queue-us", kind: Type::Integer, meaning: "microseconds of waiting for a batch" },
    Told { name: "x-mimi-run-us", kind: Type::Integer, meaning: "microseconds of the batch's run" },
    Told { name: "x-mimi-flops", kind: Type::Integer, meaning: "floating-point operations spent" },
    Told { name: "x-mimi-batch-rows", kind: Type::Integer, meaning: "rows in the batch" },
    Told { name: "server-timing", kind: Type::String, meaning: "the times, as browsers show them" },
];
/// The name of the request, of every answer.
const ID: Told =
    Told { name: "x-request-id", kind: Type::String, meaning: "the request's name, its own or a random one" };

/// When to ask again, of refusals that may be.
const RETRY: Told = Told {
    name: "retry-after",
    kind: Type::Integer,
    meaning: "seconds until the same request may be answered",
};
/// How to show a key.
const CHALLENGE: Told = Told { name: "www-authenticate", kind: Type::String, meaning: "how a key is shown" };

impl Told {
    fn fact(fact: Fact) -> Self {
        let kind = if fact == Fact::Version { Type::Integer } else { Type::String };
        Self { name: fact.key(), kind, meaning: fact.meaning() }
    }

    fn header(&self) -> RefOr<Header> {
        let schema = ObjectBuilder::new().schema_type(self.kind.clone()).build();
        RefOr::T(HeaderBuilder::new().schema(Some(schema)).description(Some(self.meaning)).build())
    }
}

/// Describes the headers of an operation's answers; an inference has more of them.
pub(super) fn add(operation: &mut Operation, is_inference: bool) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        response.headers.insert(ID.name.to_owned(), ID.header());
        let more = match status.as_str() {
            "401" => Some(CHALLENGE),
            "429" | "503" => Some(RETRY),
            _ => None,
        };
        response.headers.extend(more.map(|told| (told.name.to_owned(), told.header())));
        if is_inference && status == "200" {
            let all = Fact::ALL.map(Told::fact);
            let all = all.iter().chain(&SPENT);
            response.headers.extend(all.map(|told| (told.name.to_owned(), told.header())));
        }
    }
}
