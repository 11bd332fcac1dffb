//! One image as a request, and what comes back.

use bytes::Bytes;
use serde_json::Value;

/// What is asked of every image.
#[derive(Clone, Debug)]
pub struct Question {
    /// The tasks.
    pub tasks: Vec<String>,
    /// Predictions wanted for each task.
    pub top_k: usize,
    /// Whether logits are wanted too.
    pub logits: bool,
}

/// A body with its content type.
#[derive(Clone, Debug)]
pub struct Body {
    /// Its content type.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Question {
    /// Where it is asked.
    pub(super) fn target(&self) -> String {
        let logits = if self.logits { "&logits=true" } else { "" };
        format!("/v1/classify?top_k={}{logits}", self.top_k)
    }

    /// The request's body: a form with the tasks and the image.
    pub(super) fn body(&self, image: &[u8]) -> Body {
        // Random as it is, no image has it: looking for it would cost a pass over each.
        let boundary = format!("{:032x}", rand::random::<u128>());
        let part = |name: &str| format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"");
        let head = format!("{}\r\n\r\n{}\r\n", part("tasks"), self.tasks.join(","));
        let head = format!("{head}{}; filename=\"image\"\r\n\r\n", part("image"));
        let end = format!("\r\n--{boundary}--\r\n");
        let bytes = [head.as_bytes(), image, end.as_bytes()].concat().into();
        Body { content_type: format!("multipart/form-data; boundary={boundary}"), bytes }
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// How long to wait before the same is asked again, seconds, where the server says so.
    pub retry_after: Option<u64>,
    /// The body.
    pub body: Bytes,
}

/// What became of one image.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Outcome {
    /// What each task says, as it was answered.
    Answered(Value),
    /// The image is at fault: no task says anything.
    Refused { error: String, code: String },
}
