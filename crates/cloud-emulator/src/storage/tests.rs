use futures::stream;

use super::{blob::tests::whole, *};

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

async fn blob(storage: &Storage, bytes: &[u8]) -> Blob {
    let body = stream::iter([Ok::<_, ()>(Bytes::copy_from_slice(bytes))]);
    storage.receive(body, 1 << 30).await.unwrap()
}

async fn put(storage: &Storage, key: &str, bytes: &[u8]) -> Arc<Object> {
    let headers = Headers::from([("content-type".to_owned(), "text/plain".to_owned())]);
    let object = Object::of(headers, blob(storage, bytes).await, NOW);
    storage.put("b-1", key, object).unwrap()
}

async fn bytes(object: &Object) -> Vec<u8> {
    whole(object.read(0..object.length)).await
}

#[tokio::test]
async fn what_is_put_in_a_folder_is_there_after_a_restart() {
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
        std::mem::forget(blob(&storage, b"the process died").await);
    }
    let storage = Storage::in_folder(dir.path()).unwrap();
    for key in keys.into_iter().filter(|key| *key != "a/b") {
        let object = storage.get("b-1", key).unwrap();
        assert_eq!(bytes(&object).await, key.as_bytes());
        assert_eq!(object.headers["content-type"], "text/plain");
    }
    assert_eq!(bytes(&storage.get("b-1", "copy").unwrap()).await, b"a/b", "a copy is on its own");
    assert!(storage.get("b-1", "gone").is_none() && storage.get("b-1", "a/b").is_none());
    let files = std::fs::read_dir(dir.path().join("blobs")).unwrap().count();
    assert_eq!(files, keys.len(), "nothing is left of what was replaced, deleted or unfinished");
}

#[tokio::test]
async fn who_reads_an_object_reads_it_whole_whatever_becomes_of_it() {
    let dir = tempfile::tempdir().unwrap();
    for storage in [Storage::in_memory(1 << 20), Storage::in_folder(dir.path()).unwrap()] {
        let object = put(&storage, "k", b"the first").await;
        put(&storage, "k", b"the second").await;
        storage.delete("b-1", "k").unwrap();
        assert_eq!(bytes(&object).await, b"the first");
    }
}

#[tokio::test]
async fn parts_make_an_object_in_their_order_and_only_as_they_are() {
    let storage = Storage::in_memory(16 << 20);
    let upload = ("b-1", "k", "u");
    storage.initiate("u".to_owned(), Upload::of("b-1", "k", Headers::new(), NOW));
    let long = vec![7; 1 << 20];
    for (number, content) in [(2, &b"end"[..]), (1, &long), (3, &b"unused"[..])] {
        let blob = blob(&storage, content).await;
        storage.upload(upload, |upload| upload.put(number, blob, NOW)).unwrap();
    }
    let etags: Vec<(u16, String)> = storage
        .upload(upload, |upload| upload.parts_after(0).map(|(number, part)| (number, part.etag())).collect())
        .unwrap();
    let (first, second, third) = (&etags[0], &etags[1], &etags[2]);
    let refused = |parts: &[&(u16, String)]| {
        let parts: Vec<_> = parts.iter().map(|part| (*part).clone()).collect();
        storage.complete(upload, &parts, NOW).unwrap_err()
    };
    assert_eq!(refused(&[second, first]), Incomplete::InvalidPartOrder);
    assert_eq!(refused(&[first, first]), Incomplete::InvalidPartOrder);
    assert_eq!(refused(&[first, second, third]), Incomplete::EntityTooSmall);
    assert_eq!(refused(&[first, &(2, first.1.clone())]), Incomplete::InvalidPart);
    assert_eq!(refused(&[first, &(9, second.1.clone())]), Incomplete::InvalidPart);
    assert_eq!(refused(&[]), Incomplete::InvalidPart);
    for (bucket, key, id) in [("b-2", "k", "u"), ("b-1", "l", "u"), ("b-1", "k", "v")] {
        let other = storage.complete((bucket, key, id), &etags[..2], NOW).unwrap_err();
        assert_eq!(other, Incomplete::NoSuchUpload);
    }
    let object = storage.complete(upload, &etags[..2], NOW).unwrap().unwrap();
    assert_eq!(bytes(&object).await, [&long[..], b"end"].concat());
    // As S3's and COS's documents tell it: the MD5 of the parts' MD5s, and how many they are.
    let concatenated =
        [hex::decode(first.1.trim_matches('"')).unwrap(), hex::decode(second.1.trim_matches('"')).unwrap()];
    let expected = hex::encode(<md5::Md5 as md5::Digest>::digest(concatenated.concat()));
    assert_eq!(object.etag, format!("\"{expected}-2\""));
    assert_eq!(storage.abort("b-1", "k", "u"), Err(Incomplete::NoSuchUpload), "it has ended");
}

/// Its folder is taken away meanwhile, as a full disk would take nothing.
#[tokio::test]
async fn what_the_disk_does_not_take_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::in_folder(dir.path()).unwrap();
    put(&storage, "k", b"content").await;
    let upload = ("b-1", "k", "u");
    storage.initiate("u".to_owned(), Upload::of("b-1", "k", Headers::new(), NOW));
    let part = blob(&storage, b"another").await;
    let parts = [(1, format!("\"{}\"", hex::encode(part.md5)))];
    storage.upload(upload, |upload| upload.put(1, part, NOW)).unwrap();

    let [objects, away] = ["objects", "away"].map(|name| dir.path().join(name));
    std::fs::rename(&objects, &away).unwrap();
    std::fs::write(&objects, "in the way").unwrap();
    assert!(storage.delete("b-1", "k").is_err());
    assert!(matches!(storage.complete(upload, &parts, NOW), Ok(Err(Unkept::Disk(_)))));
    assert_eq!(bytes(&storage.get("b-1", "k").unwrap()).await, b"content");
    std::fs::remove_file(&objects).unwrap();
    std::fs::rename(&away, &objects).unwrap();

    storage.complete(upload, &parts, NOW).unwrap().unwrap();
    drop(storage);
    let storage = Storage::in_folder(dir.path()).unwrap();
    assert_eq!(bytes(&storage.get("b-1", "k").unwrap()).await, b"another");
    storage.delete("b-1", "k").unwrap();
    assert!(storage.get("b-1", "k").is_none());
}

#[tokio::test]
async fn uploads_are_listed_by_key_and_aborted_ones_give_their_room_back() {
    let storage = Storage::in_memory(10);
    for (id, key) in [("1", "b"), ("2", "a/1"), ("3", "a/2")] {
        storage.initiate(id.to_owned(), Upload::of("b-1", key, Headers::new(), NOW));
    }
    let wanted = Wanted { prefix: "a/".to_owned(), most: 10, ..Wanted::default() };
    let page = storage.uploads("b-1", &wanted, None);
    assert_eq!(page.entries, [("a/1".into(), "2".into(), NOW), ("a/2".into(), "3".into(), NOW)]);
    assert_eq!(storage.uploads("b-2", &wanted, None).entries, []);
    let eight = blob(&storage, b"12345678").await;
    storage.upload(("b-1", "b", "1"), |upload| upload.put(1, eight, NOW)).unwrap();
    let body = || stream::iter([Ok::<_, ()>(Bytes::from_static(b"123"))]);
    assert!(matches!(storage.receive(body(), 99).await, Err(Unkept::Full(10))));
    storage.abort("b-1", "b", "1").unwrap();
    assert!(storage.receive(body(), 99).await.is_ok());
}

#[test]
fn uploads_are_found_whoever_else_uploads_and_however_many_of_a_key() {
    let storage = Storage::in_memory(10);
    for (id, key) in [("1", "alice/a"), ("4", "bob/a"), ("2", "bob/a"), ("3", "bob/a"), ("5", "bob/b/c")] {
        storage.initiate(id.to_owned(), Upload::of("b-1", key, Headers::new(), NOW));
    }
    let mut wanted = Wanted { prefix: "bob/".to_owned(), most: 1, ..Wanted::default() };
    let (mut ids, mut id_marker) = (Vec::new(), None);
    loop {
        let page = storage.uploads("b-1", &wanted, id_marker.as_deref());
        id_marker = page.entries.last().map(|(_, id, _)| id.clone());
        ids.extend(id_marker.clone());
        let Some(marker) = page.next_marker else { break };
        wanted.marker = marker;
    }
    assert_eq!(ids, ["2", "3", "4", "5"]);
    wanted.marker = "bob/a".to_owned();
    let after_the_key = storage.uploads("b-1", &wanted, None);
    assert_eq!(after_the_key.entries, [("bob/b/c".into(), "5".into(), NOW)]);
}

#[test]
fn a_folder_is_one_sandboxs_and_nobody_elses() {
    let dir = tempfile::tempdir().unwrap();
    let theirs = dir.path().join("project");
    std::fs::create_dir_all(theirs.join("blobs")).unwrap();
    std::fs::write(theirs.join("blobs/thesis"), "years of work").unwrap();
    let refused = Storage::in_folder(&theirs).unwrap_err().to_string();
    assert!(refused.contains("holds something else"), "{refused}");
    assert!(theirs.join("blobs/thesis").exists() && !theirs.join("objects").exists());

    let ours = dir.path().join("ours");
    let first = Storage::in_folder(&ours).unwrap();
    let refused = Storage::in_folder(&ours).unwrap_err().to_string();
    assert!(refused.contains("another sandbox"), "{refused}");
    drop(first);
    assert!(Storage::in_folder(&ours).is_ok());
}

#[tokio::test]
async fn what_a_file_manager_leaves_in_the_folder_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::in_folder(dir.path()).unwrap();
    put(&storage, "k", b"content").await;
    drop(storage);
    for place in ["objects", "objects/b-1", "blobs"] {
        std::fs::write(dir.path().join(place).join(".DS_Store"), "").unwrap();
    }
    let storage = Storage::in_folder(dir.path()).unwrap();
    assert_eq!(bytes(&storage.get("b-1", "k").unwrap()).await, b"content");
}

#[tokio::test]
async fn a_record_that_names_a_file_elsewhere_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let storage = Storage::in_folder(&data).unwrap();
    put(&storage, "k", b"content").await;
    drop(storage);
    let record = std::fs::read_dir(data.join("objects/b-1")).unwrap().next().unwrap().unwrap().path();
    let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
    for elsewhere in ["../../victim", "/etc/passwd", "..", "", "a/"] {
        let mut changed = written.clone();
        changed["blobs"][0]["file"] = elsewhere.into();
        std::fs::write(&record, changed.to_string()).unwrap();
        let refused = Storage::in_folder(&data).unwrap_err().to_string();
        assert!(refused.contains("names no file of `blobs`"), "{elsewhere}: {refused}");
    }
}
