use futures::stream;

use super::{blob::tests::read_all, *};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

async fn blob(storage: &Storage, bytes: &[u8]) -> Blob {
    let body = stream::iter([Ok::<_, ()>(Bytes::copy_from_slice(bytes))]);
    storage.receive(body, 1 << 30).await.unwrap()
}

async fn put(storage: &Storage, key: &str, bytes: &[u8]) -> Arc<Object> {
    let headers = Headers::from([("content-type".to_owned(), "text/plain".to_owned())]);
    let object = Object::new(headers, blob(storage, bytes).await, NOW);
    storage.put("b-1", key, object).unwrap()
}

fn upload_error(result: Result<Arc<Object>, CompleteError>) -> UploadError {
    match result {
        Err(CompleteError::Upload(error)) => error,
        other => panic!("{other:?}"),
    }
}

fn listed(key: &str, id: &str) -> ListedUpload {
    ListedUpload { key: key.to_owned(), id: id.to_owned(), initiated: NOW }
}

async fn bytes(object: &Object) -> Vec<u8> {
    read_all(object.read(0..object.length)).await
}

#[tokio::test]
async fn objects_in_a_folder_are_there_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let keys = ["a", "a/b", "../../etc/passwd", "", "ключ", &"long/".repeat(170)];
    {
        let storage = Storage::in_folder(dir.path()).unwrap();
        for key in keys {
            put(&storage, key, b"old").await;
            put(&storage, key, key.as_bytes()).await;
        }
        put(&storage, "gone", b"x").await;
        storage.delete("b-1", "gone").unwrap();
        let copy = storage.copy(&storage.get("b-1", "a/b").unwrap(), Headers::new(), NOW).unwrap();
        storage.put("b-1", "copy", copy).unwrap();
        storage.delete("b-1", "a/b").unwrap();
        std::mem::forget(blob(&storage, b"the process was killed").await);
    }
    let storage = Storage::in_folder(dir.path()).unwrap();
    for key in keys.into_iter().filter(|key| *key != "a/b") {
        let object = storage.get("b-1", key).unwrap();
        assert_eq!(bytes(&object).await, key.as_bytes());
        assert_eq!(object.headers["content-type"], "text/plain");
    }
    assert_eq!(bytes(&storage.get("b-1", "copy").unwrap()).await, b"a/b", "a copy is independent");
    assert!(storage.get("b-1", "gone").is_none() && storage.get("b-1", "a/b").is_none());
    let files = std::fs::read_dir(dir.path().join("blobs")).unwrap().count();
    assert_eq!(files, keys.len(), "replaced, deleted and unfinished objects leave no file");
}

#[tokio::test]
async fn an_object_can_be_read_to_its_end_after_it_was_replaced_or_deleted() {
    let dir = tempfile::tempdir().unwrap();
    for storage in [Storage::in_memory(1 << 20), Storage::in_folder(dir.path()).unwrap()] {
        let object = put(&storage, "k", b"the first").await;
        put(&storage, "k", b"the second").await;
        storage.delete("b-1", "k").unwrap();
        assert_eq!(bytes(&object).await, b"the first");
    }
}

#[tokio::test]
async fn an_object_is_made_of_parts_in_order_with_the_right_etags() {
    let storage = Storage::in_memory(16 << 20);
    let upload = UploadRef { bucket: "b-1", key: "k", id: "u" };
    storage.initiate("u".to_owned(), Upload::new("b-1", "k", Headers::new(), NOW));
    let long = vec![7; 1 << 20];
    for (number, content) in [(2, &b"end"[..]), (1, &long), (3, &b"unused"[..])] {
        let blob = blob(&storage, content).await;
        storage.with_upload(upload, |upload| upload.put(number, blob, NOW)).unwrap();
    }
    let etags: Vec<(u16, String)> = storage
        .with_upload(upload, |upload| {
            upload.parts_after(0).map(|(number, part)| (number, part.etag())).collect()
        })
        .unwrap();
    let (first, second, third) = (&etags[0], &etags[1], &etags[2]);
    let error = |parts: &[&(u16, String)]| {
        let parts: Vec<_> = parts.iter().map(|part| (*part).clone()).collect();
        upload_error(storage.complete(upload, &parts, NOW))
    };
    assert_eq!(error(&[second, first]), UploadError::InvalidPartOrder);
    assert_eq!(error(&[first, first]), UploadError::InvalidPartOrder);
    assert_eq!(error(&[first, second, third]), UploadError::EntityTooSmall);
    assert_eq!(error(&[first, &(2, first.1.clone())]), UploadError::InvalidPart);
    assert_eq!(error(&[first, &(9, second.1.clone())]), UploadError::InvalidPart);
    assert_eq!(error(&[]), UploadError::InvalidPart);
    for (bucket, key, id) in [("b-2", "k", "u"), ("b-1", "l", "u"), ("b-1", "k", "v")] {
        let other = storage.complete(UploadRef { bucket, key, id }, &etags[..2], NOW);
        assert_eq!(upload_error(other), UploadError::NoSuchUpload);
    }
    let object = storage.complete(upload, &etags[..2], NOW).unwrap();
    assert_eq!(bytes(&object).await, [&long[..], b"end"].concat());
    // As documented by S3 and COS: the MD5 of the parts' MD5s, and the number of parts.
    let concatenated =
        [hex::decode(first.1.trim_matches('"')).unwrap(), hex::decode(second.1.trim_matches('"')).unwrap()];
    let expected = hex::encode(<md5::Md5 as md5::Digest>::digest(concatenated.concat()));
    assert_eq!(object.etag, format!("\"{expected}-2\""));
    assert_eq!(storage.abort(upload), Err(UploadError::NoSuchUpload), "the upload has ended");
}

/// The folder of the records is replaced by a file, so that writes fail as on a full disk.
#[tokio::test]
async fn a_failed_write_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::in_folder(dir.path()).unwrap();
    put(&storage, "k", b"content").await;
    let upload = UploadRef { bucket: "b-1", key: "k", id: "u" };
    storage.initiate("u".to_owned(), Upload::new("b-1", "k", Headers::new(), NOW));
    let part = blob(&storage, b"another").await;
    let parts = [(1, format!("\"{}\"", hex::encode(part.md5)))];
    storage.with_upload(upload, |upload| upload.put(1, part, NOW)).unwrap();

    let [objects, away] = ["objects", "away"].map(|name| dir.path().join(name));
    std::fs::rename(&objects, &away).unwrap();
    std::fs::write(&objects, "in the way").unwrap();
    assert!(storage.delete("b-1", "k").is_err());
    assert!(matches!(
        storage.complete(upload, &parts, NOW),
        Err(CompleteError::Storage(StorageError::Disk(_)))
    ));
    assert_eq!(bytes(&storage.get("b-1", "k").unwrap()).await, b"content");
    std::fs::remove_file(&objects).unwrap();
    std::fs::rename(&away, &objects).unwrap();

    storage.complete(upload, &parts, NOW).unwrap();
    drop(storage);
    let storage = Storage::in_folder(dir.path()).unwrap();
    assert_eq!(bytes(&storage.get("b-1", "k").unwrap()).await, b"another");
    storage.delete("b-1", "k").unwrap();
    assert!(storage.get("b-1", "k").is_none());
}

#[tokio::test]
async fn uploads_are_listed_by_key_and_aborted_ones_return_their_memory() {
    let storage = Storage::in_memory(10);
    for (id, key) in [("1", "b"), ("2", "a/1"), ("3", "a/2")] {
        storage.initiate(id.to_owned(), Upload::new("b-1", key, Headers::new(), NOW));
    }
    let query = ListQuery { prefix: "a/".to_owned(), max_entries: 10, ..ListQuery::default() };
    let page = storage.uploads("b-1", &query, None);
    assert_eq!(page.entries, [listed("a/1", "2"), listed("a/2", "3")]);
    assert_eq!(storage.uploads("b-2", &query, None).entries, []);
    let eight = blob(&storage, b"12345678").await;
    let upload = UploadRef { bucket: "b-1", key: "b", id: "1" };
    storage.with_upload(upload, |upload| upload.put(1, eight, NOW)).unwrap();
    let body = || stream::iter([Ok::<_, ()>(Bytes::from_static(b"123"))]);
    assert!(matches!(storage.receive(body(), 99).await, Err(StorageError::MemoryFull(10))));
    storage.abort(upload).unwrap();
    assert!(storage.receive(body(), 99).await.is_ok());
}

#[test]
fn uploads_are_listed_across_pages_beside_other_uploads_and_several_of_one_key() {
    let storage = Storage::in_memory(10);
    for (id, key) in [("1", "alice/a"), ("4", "bob/a"), ("2", "bob/a"), ("3", "bob/a"), ("5", "bob/b/c")] {
        storage.initiate(id.to_owned(), Upload::new("b-1", key, Headers::new(), NOW));
    }
    let mut query = ListQuery { prefix: "bob/".to_owned(), max_entries: 1, ..ListQuery::default() };
    let (mut ids, mut id_marker) = (Vec::new(), None);
    loop {
        let page = storage.uploads("b-1", &query, id_marker.as_deref());
        id_marker = page.entries.last().map(|upload| upload.id.clone());
        ids.extend(id_marker.clone());
        let Some(marker) = page.next_marker else { break };
        query.marker = marker;
    }
    assert_eq!(ids, ["2", "3", "4", "5"]);
    query.marker = "bob/a".to_owned();
    let after_the_key = storage.uploads("b-1", &query, None);
    assert_eq!(after_the_key.entries, [listed("bob/b/c", "5")]);
}

#[test]
fn a_folder_belongs_to_one_sandbox() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("project");
    std::fs::create_dir_all(foreign.join("blobs")).unwrap();
    std::fs::write(foreign.join("blobs/document"), "other data").unwrap();
    let refused = Storage::in_folder(&foreign).unwrap_err().to_string();
    assert!(refused.contains("holds other files"), "{refused}");
    assert!(foreign.join("blobs/document").exists() && !foreign.join("objects").exists());

    let own = dir.path().join("ours");
    let first = Storage::in_folder(&own).unwrap();
    let refused = Storage::in_folder(&own).unwrap_err().to_string();
    assert!(refused.contains("another sandbox"), "{refused}");
    drop(first);
    assert!(Storage::in_folder(&own).is_ok());
}

#[tokio::test]
async fn files_of_a_file_manager_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::in_folder(dir.path()).unwrap();
    put(&storage, "k", b"content").await;
    drop(storage);
    for folder in ["objects", "objects/b-1", "blobs"] {
        std::fs::write(dir.path().join(folder).join(".DS_Store"), "").unwrap();
    }
    let storage = Storage::in_folder(dir.path()).unwrap();
    assert_eq!(bytes(&storage.get("b-1", "k").unwrap()).await, b"content");
}

#[tokio::test]
async fn a_record_that_names_a_file_outside_of_blobs_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let storage = Storage::in_folder(&data).unwrap();
    put(&storage, "k", b"content").await;
    drop(storage);
    let record = std::fs::read_dir(data.join("objects/b-1")).unwrap().next().unwrap().unwrap().path();
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    for path in ["../../victim", "/etc/passwd", "..", "", "a/"] {
        let mut changed = written.clone();
        changed["blobs"][0]["file"] = path.into();
        std::fs::write(&record, changed.to_string()).unwrap();
        let refused = Storage::in_folder(&data).unwrap_err().to_string();
        assert!(refused.contains("is not the name of a file in `blobs`"), "{path}: {refused}");
    }
}
