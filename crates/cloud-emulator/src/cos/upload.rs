//! Uploads in parts: begun, filled, told, completed, aborted.

use actix_web::{HttpResponse, dev::Payload, http::StatusCode, http::header};

use super::{
    Cos, address::Address, call::Call, collected, list::LONGEST_PAGE, object, refusal::Refusal, xml,
};
use crate::storage::{Page, Part, Upload};

/// The highest number of a part (docs 436/14518).
const MOST_PARTS: u16 = 10_000;
/// The most that is read of the list that completes an upload: ten thousand parts and their tags.
const LONGEST_LIST: usize = 4 << 20;

impl Cos {
    pub(super) fn initiate(&self, call: &Call) -> Result<HttpResponse, Refusal> {
        let Address { bucket, key, .. } = &call.address;
        self.check_new(call, key)?;
        let upload_id = self.entropy.hex_id();
        self.storage.initiate(upload_id.clone(), Upload::of(bucket, key, call.kept_headers()?, call.at));
        let told = xml::Initiated { bucket: bucket.clone(), key: key.clone(), upload_id };
        Ok(xml::answer(StatusCode::OK, &told))
    }

    pub(super) async fn upload_part(&self, call: &Call, body: &mut Payload) -> Result<HttpResponse, Refusal> {
        let number = call.number("partNumber", 0)?;
        if !(1..=MOST_PARTS).contains(&number) {
            return Err(Refusal::InvalidArgument(format!("partNumber is from 1 to {MOST_PARTS}.")));
        }
        self.storage.upload(upload(call), |_| ())?;
        let blob = self.storage.receive(body, object::LARGEST).await?;
        call.check_digest(&blob)?;
        let (etag, crc64) = (format!("\"{}\"", hex::encode(blob.md5)), blob.crc64.to_string());
        self.storage.upload(upload(call), |upload| upload.put(number, blob, call.at))?;
        Ok(HttpResponse::Ok()
            .insert_header((header::ETAG, etag))
            .insert_header(("x-cos-hash-crc64ecma", crc64))
            .finish())
    }

    pub(super) fn list_parts(&self, call: &Call) -> Result<HttpResponse, Refusal> {
        let most = call.number("max-parts", LONGEST_PAGE)?.min(LONGEST_PAGE);
        let marker = call.number("part-number-marker", 0)?;
        let part = self.storage.upload(upload(call), |upload| {
            let part = |(part_number, part): (u16, &Part)| xml::Part {
                part_number,
                last_modified: object::iso(part.modified),
                etag: part.etag(),
                size: part.length(),
            };
            upload.parts_after(marker).map(part).take(most + 1).collect::<Vec<_>>()
        })?;
        let (is_truncated, mut part) = (part.len() > most, part);
        part.truncate(most);
        let encoding = call.encoding()?;
        Ok(xml::answer(
            StatusCode::OK,
            &xml::Parts {
                bucket: call.address.bucket.clone(),
                encoding_type: encoding.name(),
                key: encoding.of(call.address.key.clone()),
                upload_id: call.parameter("uploadId").unwrap_or_default().to_owned(),
                initiator: xml::OWNER,
                owner: xml::OWNER,
                storage_class: "STANDARD",
                part_number_marker: marker,
                next_part_number_marker: part.last().filter(|_| is_truncated).map(|part| part.part_number),
                max_parts: most,
                is_truncated,
                part,
            },
        ))
    }

    pub(super) async fn complete(&self, call: &Call, body: &mut Payload) -> Result<HttpResponse, Refusal> {
        let list: xml::Complete =
            xml::read(&collected(body, LONGEST_LIST).await?).map_err(Refusal::MalformedXml)?;
        let named: Vec<_> = list.part.into_iter().map(|part| (part.part_number, part.etag)).collect();
        let Address { bucket, key, .. } = &call.address;
        let object = self.storage.complete(upload(call), &named, call.at)??;
        let host = call.header("host").unwrap_or_default();
        let told = xml::Completed {
            location: format!("{host}{}", call.path),
            bucket: bucket.clone(),
            key: key.clone(),
            etag: object.etag.clone(),
        };
        let mut response = xml::answer(StatusCode::OK, &told);
        if let Ok(crc64) = header::HeaderValue::from_str(&object.crc64.to_string()) {
            response.headers_mut().insert(header::HeaderName::from_static("x-cos-hash-crc64ecma"), crc64);
        }
        Ok(response)
    }

    pub(super) fn abort(&self, call: &Call) -> Result<HttpResponse, Refusal> {
        let (bucket, key, id) = upload(call);
        self.storage.abort(bucket, key, id)?;
        Ok(HttpResponse::NoContent().finish())
    }

    pub(super) fn list_uploads(&self, call: &Call) -> Result<HttpResponse, Refusal> {
        let wanted = call.wanted("key-marker", "max-uploads")?;
        let encoding = call.encoding()?;
        let id_marker = call.parameter("upload-id-marker").filter(|marker| !marker.is_empty());
        let Page { entries, common_prefixes, next_marker } =
            self.storage.uploads(&call.address.bucket, &wanted, id_marker);
        // A page that ends with a folder ends with no upload.
        let last = entries.last().filter(|(key, ..)| next_marker.as_ref() == Some(key));
        let next_upload_id_marker = last.map(|(_, id, _)| id.clone());
        let upload = |(key, upload_id, initiated)| xml::Upload {
            key: encoding.of(key),
            upload_id,
            storage_class: "STANDARD",
            initiator: xml::OWNER,
            owner: xml::OWNER,
            initiated: object::iso(initiated),
        };
        Ok(xml::answer(
            StatusCode::OK,
            &xml::Uploads {
                bucket: call.address.bucket.clone(),
                encoding_type: encoding.name(),
                key_marker: encoding.of(wanted.marker),
                upload_id_marker: id_marker.unwrap_or_default().to_owned(),
                max_uploads: wanted.most,
                is_truncated: next_marker.is_some(),
                next_key_marker: next_marker.map(|marker| encoding.of(marker)),
                next_upload_id_marker,
                prefix: encoding.of(wanted.prefix),
                delimiter: wanted.delimiter.map(|delimiter| encoding.of(delimiter)),
                upload: entries.into_iter().map(upload).collect(),
                common_prefixes: encoding.common(common_prefixes),
            },
        ))
    }
}

/// The upload that a request names.
fn upload(call: &Call) -> (&str, &str, &str) {
    (&call.address.bucket, &call.address.key, call.parameter("uploadId").unwrap_or_default())
}
