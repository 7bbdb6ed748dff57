//! Reads a response of STS: a temporary key or a rejection. Keeps no part of a body that it does not understand.

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::{
    Error, TemporaryCredential, UnreadableResponse,
    error::{Rejection, classify},
};

/// The most characters of a code or a request id that are kept.
const MAX_ID_CHARS: usize = 80;

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Response")]
    response: Response,
}

/// No field of a credential has a default: a missing one is an error, never an empty string.
#[derive(Deserialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
enum Response {
    Rejected { error: RejectedBy, request_id: Option<String> },
    Issued { credentials: Credentials, expired_time: i64, request_id: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RejectedBy {
    code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    token: SecretString,
    tmp_secret_id: String,
    tmp_secret_key: SecretString,
}

impl Credentials {
    fn has_empty_part(&self) -> bool {
        self.token.expose_secret().is_empty()
            || self.tmp_secret_key.expose_secret().is_empty()
            || self.tmp_secret_id.is_empty()
    }
}

/// Reads the body of a response. An error counts whatever the HTTP status: STS sends it with 200.
pub(crate) fn read(status: u16, body: &[u8], now: Timestamp) -> Result<TemporaryCredential, Error> {
    let envelope: Envelope =
        serde_json::from_slice(body).map_err(|_| UnreadableResponse::NotAnAnswer { status })?;
    match envelope.response {
        Response::Rejected { error, request_id } => Err(Error::Rejected(Rejection {
            class: classify(&error.code),
            code: printable(&error.code),
            request_id: request_id.as_deref().map(printable),
        })),
        Response::Issued { credentials, expired_time, request_id } => {
            let expires_at = Timestamp::from_second(expired_time)
                .ok()
                .filter(|expires_at| *expires_at > now)
                .ok_or_else(|| UnreadableResponse::Expired { request_id: printable(&request_id) })?;
            if credentials.has_empty_part() {
                return Err(UnreadableResponse::EmptyPart { request_id: printable(&request_id) }.into());
            }
            Ok(TemporaryCredential {
                secret_id: credentials.tmp_secret_id,
                secret_key: credentials.tmp_secret_key,
                token: credentials.token,
                expires_at,
                request_id,
            })
        }
    }
}

/// The visible ASCII characters of a text from outside, for logs and messages.
fn printable(text: &str) -> String {
    text.chars().filter(char::is_ascii_graphic).take(MAX_ID_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorClass;

    const NOW: i64 = 1_900_000_000;

    fn answer(body: &str) -> Result<TemporaryCredential, Error> {
        read(200, body.as_bytes(), Timestamp::from_second(NOW).unwrap())
    }

    const ISSUED: &str = r#"{"Response":{"Credentials":{"Token":"t","TmpSecretId":"i","TmpSecretKey":"k"},"ExpiredTime":1900001800,"Expiration":null,"RequestId":"r"}}"#;

    #[test]
    fn a_credential_is_read_with_the_expiry_that_sts_states() {
        let credential = answer(ISSUED).unwrap();
        assert_eq!(credential.expires_at.as_second(), NOW + 1800);
        assert_eq!((credential.secret_id.as_str(), credential.request_id.as_str()), ("i", "r"));
    }

    #[test]
    fn an_error_with_http_200_is_an_error_and_its_message_is_not_kept() {
        let error = answer(
            r#"{"Response":{"Error":{"Code":"AuthFailure.SecretIdNotFound","Message":"AKIDsecret not found"},"RequestId":"r-1"}}"#,
        )
        .unwrap_err();
        assert_eq!(error.class(), ErrorClass::SourceCredentialsRejected);
        assert_eq!(error.code(), Some("AuthFailure.SecretIdNotFound"));
        assert_eq!(error.request_id(), Some("r-1"));
        assert_eq!(error.to_string(), "AuthFailure.SecretIdNotFound, request r-1");
    }

    #[test]
    fn an_error_without_a_request_id_has_none() {
        let error = answer(r#"{"Response":{"Error":{"Code":"InternalError"}}}"#).unwrap_err();
        assert_eq!(error.request_id(), None);
        assert_eq!(error.to_string(), "InternalError, without a request id");
    }

    #[test]
    fn an_error_beside_a_credential_is_an_error() {
        let body = ISSUED.replace(r#""RequestId""#, r#""Error":{"Code":"InternalError"},"RequestId""#);
        assert_eq!(answer(&body).unwrap_err().code(), Some("InternalError"));
    }

    #[test]
    fn a_response_without_a_complete_active_credential_is_a_transient_error() {
        for body in [
            String::new(),
            "<html>502 Bad Gateway</html>".to_owned(),
            "{}".to_owned(),
            "null".to_owned(),
            r#"{"Response":{}}"#.to_owned(),
            ISSUED.chars().take(ISSUED.len() / 2).collect(),
            ISSUED.replace(r#""Token":"t","#, ""),
            ISSUED.replace(r#""Token":"t""#, r#""Token":"""#),
            ISSUED.replace(r#""Token":"t""#, r#""Token":null"#),
            ISSUED.replace(r#""TmpSecretKey":"k""#, r#""TmpSecretKey":"""#),
            ISSUED.replace(r#""TmpSecretId":"i""#, r#""TmpSecretId":"""#),
            ISSUED.replace("1900001800", "1900000000"),
            ISSUED.replace("1900001800", "0"),
            ISSUED.replace("1900001800", "-1"),
            ISSUED.replace("1900001800", "9223372036854775807"),
            ISSUED.replace("1900001800", "\"1900001800\""),
        ] {
            assert_eq!(answer(&body).unwrap_err().class(), ErrorClass::Transient, "{body}");
        }
    }
}
