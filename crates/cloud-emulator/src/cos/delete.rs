//! Deletes several objects with one request (docs 436/8289).

use actix_web::{HttpResponse, dev::Payload, http::StatusCode};
use md5::{Digest, Md5};

use super::{
    auth::Caller,
    body::read_xml,
    emulator::CosEmulator,
    error::CosError,
    operation::Operation,
    request::CosRequest,
    response,
    xml::{self, XmlError},
};

/// The maximum number of objects in one request (docs 436/8289).
const MAX_DELETED_OBJECTS: usize = 1000;
/// The maximum size of the list: 1,000 keys of 850 bytes, each byte of them escaped.
const MAX_DELETE_LIST_BYTES: usize = 8 << 20;

impl CosEmulator {
    /// Deletes those of the named objects that the caller may delete, and lists the others with the reason.
    pub(super) async fn delete_objects(
        &self,
        request: &CosRequest,
        caller: &Caller,
        body: &mut Payload,
    ) -> Result<HttpResponse, CosError> {
        let list = read_xml(body, MAX_DELETE_LIST_BYTES).await?;
        if request.header("content-md5").is_none() {
            return Err(CosError::InvalidArgument(
                "Content-MD5 is required to delete several objects.".to_owned(),
            ));
        }
        request.check_digest(&Md5::digest(&list).into())?;
        let list: xml::Delete = xml::parse(&list)?;
        if list.object.is_empty() || list.object.len() > MAX_DELETED_OBJECTS {
            return Err(XmlError::ObjectCount(MAX_DELETED_OBJECTS).into());
        }
        if list.object.iter().any(|object| !object.version_id.is_empty()) {
            return Err(CosError::NotImplemented("VersionId of name/cos:DeleteObject".to_owned()));
        }
        let mut result = xml::DeleteResult::default();
        for xml::ObjectToDelete { key, .. } in list.object {
            match self.delete_one(request, caller, &key) {
                Ok(()) if list.quiet => {}
                Ok(()) => result.deleted.push(xml::Deleted { key }),
                Err(error) => result.error.push(error.of_deleted(key)),
            }
        }
        Ok(response::xml(StatusCode::OK, &result))
    }

    fn delete_one(&self, request: &CosRequest, caller: &Caller, key: &str) -> Result<(), CosError> {
        let operation = Operation::DeleteObjects;
        let resource = request.address.resource(key);
        self.authorize(caller, operation.action(), &resource, &request.context(operation))?;
        Ok(self.storage.delete(&request.address.bucket, key)?)
    }
}
