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
    FILES.iter().fold(redirect, |router, file| match read(file.name) {
        Ok(bytes) => add(router, file, pointed(file, bytes, description)),
        Err(error) => {
            tracing::error!(file = file.name, %error, "a file of the page /docs/ cannot be read");
            router
        }
    })
}

/// Has the initializer name our description.
fn pointed(file: &File, bytes: Vec<u8>, description: &str) -> Bytes {
    if file.name != "swagger-initializer.js" {
        return bytes.into();
    }
    String::from_utf8_lossy(&bytes).replace(EXAMPLE, description).into()
}

fn add<S: Clone + Send + Sync + 'static>(router: Router<S>, file: &'static File, bytes: Bytes) -> Router<S> {
    let answer = get(move || async move { ([(CONTENT_TYPE, file.content_type)], bytes) });
    let router = if file.name == "index.html" { router.route("/docs/", answer.clone()) } else { router };
    router.route(&format!("/docs/{}", file.name), answer)
}

/// Inflates one file of the archive's folder `dist`, which is the second level.
fn read(name: &str) -> ZipResult<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED))?;
    let is_ours = |path: &String| path.split('/').skip(1).eq(["dist", name]);
    let path = archive.file_names().filter_map(Result::ok).map(Cow::into_owned).find(is_ours);
    let path = path.ok_or(ZipError::FileNotFound)?;
    let mut bytes = Vec::new();
    archive.by_name(&path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}
