//! What a caller learns about an error inside: never where the server keeps its files.

use std::path::{Path, PathBuf};

/// Folders that texts must not name.
#[derive(Clone, Debug, Default)]
pub(super) struct Folders(Vec<String>);

/// What ends a path in a text.
const ENDS: [char; 12] = ['"', '\'', '`', '(', ')', '<', '>', ',', ';', ':', '{', '}'];

impl Folders {
    /// The folders as they were given and as the system names them.
    pub(super) fn new<'a>(folders: impl IntoIterator<Item = &'a Path>) -> Self {
        let both = |folder: &Path| [Some(folder.to_owned()), folder.canonicalize().ok()];
        let named = folders.into_iter().flat_map(both).flatten();
        let named = named.filter(|folder: &PathBuf| folder.file_name().is_some());
        let mut named: Vec<String> = named.map(|folder| folder.display().to_string()).collect();
        // The longest first: one folder may lie in another.
        named.sort_by_key(|folder| std::cmp::Reverse(folder.len()));
        named.dedup();
        Self(named)
    }

    /// The text with each path cut to its last name: `adapters/t/1/adapter_config.json: not found` becomes
    /// `adapter_config.json: not found`.
    pub(super) fn strip(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for folder in &self.0 {
            // Marked as absolute, the path is cut below; names of folders may have spaces.
            let inside = format!("{}/", folder.trim_end_matches('/'));
            text = replace_whole(&text, &inside, "/");
            let name = Path::new(folder).file_name().unwrap_or_default().to_string_lossy();
            text = replace_whole(&text, folder, &name);
        }
        last_names(&text)
    }
}

/// Replaces `from` where no name runs into it.
fn replace_whole(text: &str, from: &str, to: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let (before, after) = (&rest[..at], &rest[at + from.len()..]);
        let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
        let begins = !before.chars().next_back().or(out.chars().next_back()).is_some_and(is_name);
        let ends = from.ends_with('/') || !after.chars().next().is_some_and(is_name);
        out.push_str(before);
        out.push_str(if begins && ends { to } else { from });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Cuts every absolute path to its last name.
fn last_names(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        let is_start =
            !rest[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || "._-".contains(c));
        let end =
            rest[at..].find(|c: char| c.is_whitespace() || ENDS.contains(&c)).map_or(rest.len(), |n| at + n);
        out.push_str(&rest[..at]);
        let path = &rest[at..end];
        out.push_str(if is_start {
            path.trim_end_matches('/').rsplit('/').next().unwrap_or_default()
        } else {
            path
        });
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f19_paths_shrink_to_their_last_names() {
        let folders =
            Folders::new([Path::new("adapters"), Path::new("/srv/my packs/a"), Path::new("models/vit")]);
        for (text, told) in [
            ("adapters/t/1/adapter_config.json: No such file", "adapter_config.json: No such file"),
            ("/srv/my packs/a/t/1/w.safetensors: EOF (os error 2)", "w.safetensors: EOF (os error 2)"),
            ("cannot map \"/var/lib/x.bin\": denied", "cannot map \"x.bin\": denied"),
            ("/onnxruntime_src/onnxruntime/core/a.cc:12 Run: bad", "a.cc:12 Run: bad"),
            ("models/vit is gone", "vit is gone"),
            ("the share is 1/2, image/png, a/b", "the share is 1/2, image/png, a/b"),
            (
                "my-adapters/x stays, blocks.0.attn.adapter.down too",
                "my-adapters/x stays, blocks.0.attn.adapter.down too",
            ),
            ("/", ""),
        ] {
            assert_eq!(folders.strip(text), told, "{text}");
        }
    }
}
