//! What is asked again, and how long.

use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::asker::{Asker, Failure};
use super::question::{Outcome, Question, Reply};
use crate::service::Code;

/// Longest pause before the same is asked again.
const LONGEST: Duration = Duration::from_secs(10);
/// The first pause where the server names none.
const FIRST: Duration = Duration::from_millis(250);

/// What one answer means.
#[derive(Debug, PartialEq)]
enum Meaning {
    Done(Outcome),
    /// Ask again, after what the server says.
    Again {
        after: Option<u64>,
        why: String,
    },
    /// Nothing will be answered until somebody changes something.
    Stop(String),
}

/// Asks about one image until it is known what becomes of it.
///
/// # Errors
/// When the server has not answered for as long as `patience`, or never will.
pub(super) async fn ask(
    asker: &dyn Asker,
    question: &Question,
    image: &[u8],
    patience: Duration,
) -> Result<Outcome> {
    let (begun, mut pause) = (Instant::now(), FIRST);
    loop {
        let why = match asker.post(&question.target(), question.body(image)).await {
            Ok(reply) => match meaning(&reply) {
                Meaning::Done(outcome) => return Ok(outcome),
                Meaning::Stop(why) => bail!("{why}"),
                Meaning::Again { after, why } => {
                    pause = after.map_or(pause, Duration::from_secs);
                    why
                }
            },
            Err(Failure::Passing(why)) => why,
            Err(Failure::Lasting(why)) => bail!("{why}"),
        };
        let pausing = pause.min(LONGEST);
        if begun.elapsed() + pausing > patience {
            bail!("no answer for {} s: {why}", patience.as_secs());
        }
        sleep(pausing).await;
        pause = (pausing * 2).min(LONGEST);
    }
}

fn meaning(reply: &Reply) -> Meaning {
    let Ok(mut body) = serde_json::from_slice::<Value>(&reply.body) else {
        let text = String::from_utf8_lossy(&reply.body).chars().take(200).collect::<String>();
        let why = format!("status {}: {text}", reply.status);
        // What stands before a server speaks otherwise.
        let is_passing = matches!(reply.status, 429 | 502 | 503 | 504);
        return if is_passing {
            Meaning::Again { after: reply.retry_after, why }
        } else {
            Meaning::Stop(why)
        };
    };
    if reply.status != 200 {
        return refused(reply, &body);
    }
    let results = body["results"].take();
    let failed = results.as_array().into_iter().flatten().find_map(|result| {
        let code = code(result)?;
        let why = || format!("task {}: {}", text(result, "task"), text(result, "error"));
        match code {
            Code::TaskNotFound | Code::Unauthenticated | Code::Forbidden => Some(Meaning::Stop(why())),
            code if code.retry().is_some() => Some(Meaning::Again { after: None, why: why() }),
            _ => None,
        }
    });
    failed.unwrap_or_else(|| match results.is_array() {
        true => Meaning::Done(Outcome::Answered(results)),
        false => Meaning::Stop("an answer without results: is it a mimi-server?".into()),
    })
}

fn refused(reply: &Reply, body: &Value) -> Meaning {
    let why = text(body, "error");
    match code(body) {
        Some(
            Code::ImageTooLarge
            | Code::UnsupportedMediaType
            | Code::InvalidImage
            | Code::InferenceFailed
            | Code::Internal,
        ) => Meaning::Done(Outcome::Refused { error: why, code: text(body, "code") }),
        Some(code) if code.retry().is_some() => Meaning::Again { after: reply.retry_after, why },
        _ => Meaning::Stop(format!("status {}: {why}", reply.status)),
    }
}

fn code(body: &Value) -> Option<Code> {
    let word = body["code"].as_str()?;
    Code::ALL.into_iter().find(|code| code.as_str() == word)
}

fn text(body: &Value, field: &str) -> String {
    body[field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(status: u16, body: &str) -> Meaning {
        meaning(&Reply { status, retry_after: Some(7), body: body.to_owned().into() })
    }

    #[test]
    fn what_may_pass_is_asked_again_and_what_lasts_stops() {
        let again = |why: &str| Meaning::Again { after: Some(7), why: why.into() };
        assert_eq!(reply(429, r#"{"error":"full","code":"overloaded"}"#), again("full"));
        assert_eq!(reply(502, "bad gateway"), again("status 502: bad gateway"));
        for (status, body) in [
            (401, r#"{"error":"no key","code":"unauthenticated"}"#),
            (404, "<html>"),
            (400, r#"{"error":"top_k","code":"invalid_request"}"#),
            (200, r#"{"hello":1}"#),
            (200, r#"{"results":[{"task":"a","error":"not published","code":"task_not_found"}]}"#),
        ] {
            assert!(matches!(reply(status, body), Meaning::Stop(_)), "{body}");
        }
        let one =
            r#"{"results":[{"task":"a","predictions":[]},{"task":"b","error":"later","code":"not_ready"}]}"#;
        assert_eq!(reply(200, one), Meaning::Again { after: None, why: "task b: later".into() });
    }

    #[test]
    fn a_broken_image_and_a_broken_task_are_answers() {
        let broken = reply(400, r#"{"error":"cut off","code":"invalid_image"}"#);
        let expected = Outcome::Refused { error: "cut off".into(), code: "invalid_image".into() };
        assert_eq!(broken, Meaning::Done(expected));
        let results = r#"[{"task":"a","error":"none works","code":"task_broken"}]"#;
        let answered = Outcome::Answered(serde_json::from_str(results).unwrap());
        assert_eq!(reply(200, &format!("{{\"results\":{results}}}")), Meaning::Done(answered));
    }
}
