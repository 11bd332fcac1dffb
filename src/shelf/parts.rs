//! Writing a large object in parts, so that memory holds one of them.

use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt};

use super::archive::Archive;
use super::bucket::{Bucket, When, failed};
use super::error::Error;

/// Bytes of a part. S3 takes no smaller ones than 5 MiB, but for the last.
const PART: u64 = 8 << 20;

impl Bucket {
    /// Writes an archive. Returns whether the condition held. One that needs several parts is written in any case, as
    /// stores take no condition for parts; it appears whole, with its last part.
    pub(super) async fn put_archive(
        &self,
        path: &Path,
        archive: &Archive,
        when: When,
    ) -> Result<bool, Error> {
        if archive.bytes() <= PART {
            return self.put(path, archive.part(0, PART).await?, when).await;
        }
        self.check_writable()?;
        let mut upload = self.store.put_multipart(path).await.map_err(|error| failed(path, error))?;
        let sent = send(&mut *upload, path, archive).await;
        let Err(error) = sent else { return Ok(true) };
        // The answer to the last request may be lost, and the object be there. Its name is its content's.
        if self.head(path).await.is_ok_and(|found| found.is_some_and(|found| found.size == archive.bytes())) {
            return Ok(true);
        }
        // Best effort: parts are no object, and stores have rules of their own for those that stay.
        let _ = upload.abort().await;
        Err(error)
    }
}

async fn send(upload: &mut dyn MultipartUpload, path: &Path, archive: &Archive) -> Result<(), Error> {
    let mut at = 0;
    while at < archive.bytes() {
        let part = archive.part(at, PART).await?;
        at += part.len() as u64;
        upload.put_part(part.into()).await.map_err(|error| failed(path, error))?;
    }
    upload.complete().await.map(drop).map_err(|error| failed(path, error))
}
