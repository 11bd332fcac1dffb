//! The error codes, with their statuses and whether to try again.

use std::fmt::Write;

use mimi_server::http;
use mimi_server::service::Code;

use super::check_page;

const HEAD: &str = "# Error codes\n\nA failure has the body `{\"error\": \"text for people\", \"code\": \"word for \
                    programs\"}`. Programs should look at `code`; the text may change. No error names a folder of the \
                    server; files are named by their last name.\n\nWhere \"try again\" says yes, the same request may \
                    succeed later. The header `Retry-After` then says in how many seconds.\n\n| status | code | \
                    meaning | try again? |\n|---|---|---|---|\n";

/// What each code means, and what its client may do.
const MEANINGS: &[(&str, &str, &str)] = &[
    ("not_found", "no such route", "no"),
    ("method_not_allowed", "the route takes another method", "no"),
    ("unauthenticated", "no key, or one that is not valid; which is not told", "no; with a key"),
    ("forbidden", "the key does not allow this", "no"),
    ("task_not_found", "no such task, or one of another tenant", "no; after it is published"),
    ("invalid_request", "a field, parameter or header is unknown or wrong", "no"),
    ("body_timeout", "the body did not arrive in time", "no; faster, or with a smaller body"),
    ("image_too_large", "the body or the image is larger than allowed", "no"),
    ("request_too_large", "one request asks for more rows than are ever in flight", "no; in parts"),
    ("unsupported_media_type", "the bytes are not an image of a known format", "no"),
    ("invalid_image", "the image is broken or uses an unsupported feature", "no"),
    ("pack_invalid", "the version to publish is broken; what was live stays live", "no; fix the version"),
    ("quota_exceeded", "the tenant's quota is used up", "yes, when `Retry-After` says"),
    ("overloaded", "too many rows are in flight, or too many requests to publish are served", "yes"),
    ("memory_full", "requests hold as much memory as they may", "yes"),
    ("deadline_exceeded", "no answer by the request's deadline", "yes"),
    ("shutting_down", "this server is ending", "yes; another one answers"),
    (
        "not_ready",
        "the server is starting or ending, no device answers, or a pack could not be read just now",
        "yes",
    ),
    ("task_broken", "no version of the task works", "no; `GET /v1/tasks/{task}` says what is wrong"),
    ("inference_failed", "a run failed; the server's log says why", "no"),
    ("internal", "something else failed; the server's log says why", "no"),
];

#[test]
fn f19_the_documented_errors_are_those_there_are() {
    let mut text = HEAD.to_owned();
    for code in Code::ALL.into_iter().filter(|code| *code != Code::Ok) {
        let (status, word) = (http::status(code), code.as_str());
        let found = MEANINGS.iter().find(|(known, ..)| *known == word);
        let (_, meaning, again) = found.unwrap_or_else(|| panic!("{word} has no meaning here"));
        assert_eq!(again.starts_with("yes"), code.retry().is_some(), "{word}");
        writeln!(text, "| {} | `{word}` | {meaning} | {again} |", status.as_u16()).unwrap();
    }
    assert_eq!(MEANINGS.len() + 1, Code::ALL.len(), "a meaning belongs to no code");
    text += "\n[Bad inputs and their answers](../bad-inputs.md) lists more than 150 requests with what they get.\n";
    check_page("reference/errors.md", &text);
}
