//! The page on which a person reads the description and tries it: Swagger UI, out of its archive as published.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use axum::Router;
use axum::body::Bytes;
use axum::http::header::CONTENT_TYPE;
use axum::response::Redirect;
use axum::routing::get;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;
use zip::result::{ZipError, ZipResult};

/// A file of the page.
struct File {
    name: &'static str,
    content_type: &'static str,
}

const FILES: [File; 8] = [
    File { name: "index.html", content_type: "text/html" },
    File { name: "index.css", content_type: "text/css" },
    File { name: "swagger-ui.css", content_type: "text/css" },
    File { name: "swagger-initializer.js", content_type: "text/javascript" },
    File { name: "swagger-ui-bundle.js", content_type: "text/javascript" },
    File { name: "swagger-ui-standalone-preset.js", content_type: "text/javascript" },
    File { name: "favicon-16x16.png", content_type: "image/png" },
    File { name: "favicon-32x32.png", content_type: "image/png" },
];

/// The description that the archive's initializer names, of a service that is not ours.
const EXAMPLE: &str = "https://petstore.swagger.io/v2/swagger.json";

/// Serves the page at `/docs/`; it reads the description at `description`.
pub(super) fn router<S: Clone + Send + Sync + 'static>(description: &str) -> Router<S> {
    let redirect = Router::new().route("/docs", get(|| async { Redirect::to("/docs/") }));
    let files = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))
        .and_then(|mut archive| FILES.iter().map(|file| bytes(&mut archive, file, description)).collect());
    match files {
        Ok(files) => {
            let files: Vec<Bytes> = files;
            FILES.iter().zip(files).fold(redirect, |router, (file, bytes)| add(router, file, bytes))
        }
        Err(error) => {
            tracing::error!(%error, "the page /docs/ cannot be read");
            Router::new()
        }
    }
}

type Archive = ZipArchive<Cursor<&'static [u8]>>;

/// One file; the initializer names our description.
fn bytes(archive: &mut Archive, file: &File, description: &str) -> ZipResult<Bytes> {
    let bytes = read(archive, file.name)?;
    if file.name != "swagger-initializer.js" {
        return Ok(bytes.into());
    }
    let text = String::from_utf8_lossy(&bytes);
    if !text.contains(EXAMPLE) {
        return Err(ZipError::InvalidArchive("the initializer does not name the example".into()));
    }
    Ok(text.replace(EXAMPLE, description).into())
}

fn add<S: Clone + Send + Sync + 'static>(router: Router<S>, file: &'static File, bytes: Bytes) -> Router<S> {
    let answer = get(move || async move { ([(CONTENT_TYPE, file.content_type)], bytes) });
    let router = if file.name == "index.html" { router.route("/docs/", answer.clone()) } else { router };
    router.route(&format!("/docs/{}", file.name), answer)
}

/// Inflates one file of the archive's folder `dist`, which is the second level.
fn read(archive: &mut Archive, name: &str) -> ZipResult<Vec<u8>> {
    let is_ours = |path: &String| path.split('/').skip(1).eq(["dist", name]);
    let path = archive.file_names().filter_map(Result::ok).map(Cow::into_owned).find(is_ours);
    let path = path.ok_or(ZipError::FileNotFound)?;
    let mut bytes = Vec::new();
    archive.by_name(&path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
