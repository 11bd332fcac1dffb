//! The files of the page, as they stand in `bundle/`.

use sha2::{Digest, Sha256};

use crate::backbone::hex;

/// A file of the page.
pub(super) struct File {
    name: &'static str,
    /// What a browser is told that it is.
    pub(super) content_type: &'static str,
    /// As it stands.
    pub(super) bytes: &'static [u8],
}

/// A file of `bundle/` with its type.
macro_rules! file {
    ($name:literal, $content_type:expr) => {
        File { name: $name, content_type: $content_type, bytes: include_bytes!(concat!("bundle/", $name)) }
    };
}

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The page itself, at `/`.
pub(super) static INDEX: File = file!("index.html", HTML);

/// What it is made of, at `/ui/`.
static FILES: [File; 14] = [
    file!("icon.svg", "image/svg+xml"),
    file!("page.css", CSS),
    file!("parts.css", CSS),
    file!("api.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("fork.js", SCRIPT),
    file!("image.js", SCRIPT),
    file!("key.js", SCRIPT),
    file!("live.js", SCRIPT),
    file!("modules.js", SCRIPT),
    file!("report.js", SCRIPT),
    file!("results.js", SCRIPT),
    file!("tasks.js", SCRIPT),
];

/// The file of this name at `/ui/`.
pub(super) fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

impl File {
    /// Changes when the file does.
    pub(super) fn tag(&self) -> String {
        let digest = Sha256::digest(self.bytes);
        format!("\"{}\"", hex(&digest[..8]))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_of_the_bundle_is_served() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/home/bundle");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        let served = FILES.iter().chain([&INDEX]).map(|file| file.name.to_owned()).collect();
        assert_eq!(there, served);
    }

    #[test]
    fn every_file_has_a_tag_of_its_own() {
        let tags: BTreeSet<String> = FILES.iter().map(File::tag).collect();
        assert_eq!(tags.len(), FILES.len());
        assert!(tags.iter().all(|tag| tag.len() == 18), "{tags:?}");
    }
}
