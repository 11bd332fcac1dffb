//! Writing a blob: in parts where it is large, so that memory holds one of them.

use object_store::MultipartUpload;
use object_store::path::Path;

use super::archive::Archive;
use super::bucket::{Bucket, When, failed};
use super::error::Error;

/// Bytes of a part. S3 takes no smaller ones than 5 MiB, but for the last.
const PART: u64 = 8 << 20;

impl Bucket {
    /// Writes a blob whose name is its content's, and has its age begin again: `gc` leaves young ones alone. On S3 the age of
    /// one in parts is that of its first part, so `gc`'s grace must be longer than an upload.
    pub(super) async fn put_blob(&self, path: &Path, archive: &Archive) -> Result<(), Error> {
        if archive.bytes() > PART {
            return self.put_in_parts(path, archive).await;
        }
        let blob = archive.part(0, PART).await?;
        if !self.put(path, blob.clone(), When::Absent).await? {
            self.put(path, blob, When::Always).await?;
        }
        Ok(())
    }

    async fn put_in_parts(&self, path: &Path, archive: &Archive) -> Result<(), Error> {
        let mut upload = self.upload(path).await?;
        if let Err(error) = send(&mut *upload, path, archive).await {
            // Best effort: parts are no object, and stores have rules of their own for those that stay.
            let _ = upload.abort().await;
            return Err(error);
        }
        let Err(error) = upload.complete().await else { return Ok(()) };
        // The answer may be lost, and the blob be there.
        let found = self.head(path).await;
        if found.is_ok_and(|found| found.is_some_and(|found| found.size == archive.bytes())) {
            return Ok(());
        }
        let _ = upload.abort().await;
        Err(failed(path, error))
    }
}

async fn send(upload: &mut dyn MultipartUpload, path: &Path, archive: &Archive) -> Result<(), Error> {
    let mut at = 0;
    while at < archive.bytes() {
        let part = archive.part(at, PART).await?;
        at += part.len() as u64;
        upload.put_part(part.into()).await.map_err(|error| failed(path, error))?;
    }
    Ok(())
}
