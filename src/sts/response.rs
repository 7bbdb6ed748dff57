//! What STS answered: a key, or a reason there is none. Nothing of a body that is not understood is kept.

use jiff::Timestamp;
use secrecy::SecretString;
use serde::Deserialize;

use super::{
    TemporaryCredential,
    error::{Class, classify, code},
};

/// An answer that is no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: Class,
    /// For figures; of a closed set.
    pub(super) code: &'static str,
    /// Code and request id, or what was wrong with the answer; never a piece of a body.
    pub(super) detail: String,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Response")]
    response: Response,
}

/// No field of a key has a default: a missing one is an error, never an empty string.
#[derive(Deserialize)]
#[serde(untagged, rename_all_fields = "PascalCase")]
enum Response {
    Failure { error: Error, request_id: Option<String> },
    Key { credentials: Credentials, expired_time: i64, request_id: String },
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Error {
    code: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Credentials {
    token: SecretString,
    tmp_secret_id: String,
    tmp_secret_key: SecretString,
}

/// Reads an answer's body.
pub(super) fn read(status: u16, body: &[u8], now: Timestamp) -> Result<TemporaryCredential, Failure> {
    use secrecy::ExposeSecret;
    let transient = |detail| Failure { class: Class::Transient, code: code::UNREADABLE, detail };
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|_| transient(format!("HTTP {status} with a body that is not an answer of STS")))?;
    match envelope.response {
        Response::Failure { error, request_id } => {
            let printable =
                |text: &str| text.chars().filter(char::is_ascii_graphic).take(80).collect::<String>();
            Err(Failure {
                class: classify(&error.code),
                code: code::family(&error.code),
                detail: format!(
                    "{}, request {}",
                    printable(&error.code),
                    printable(request_id.as_deref().unwrap_or("unknown"))
                ),
            })
        }
        Response::Key { credentials, expired_time, request_id } => {
            let empty = credentials.token.expose_secret().is_empty()
                || credentials.tmp_secret_key.expose_secret().is_empty()
                || credentials.tmp_secret_id.is_empty();
            let expires = Timestamp::from_second(expired_time).ok().filter(|expires| *expires > now);
            match expires {
                Some(expires) if !empty => Ok(TemporaryCredential {
                    secret_id: credentials.tmp_secret_id,
                    secret_key: credentials.tmp_secret_key,
                    token: credentials.token,
                    expires,
                    request_id,
                }),
                Some(_) => Err(transient(format!("a key with an empty part, request {request_id}"))),
                None => Err(transient(format!("a key that is already expired, request {request_id}"))),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_900_000_000;

    fn answer(body: &str) -> Result<TemporaryCredential, Failure> {
        read(200, body.as_bytes(), Timestamp::from_second(NOW).unwrap())
    }

    const KEY: &str = r#"{"Response":{"Credentials":{"Token":"t","TmpSecretId":"i","TmpSecretKey":"k"},"ExpiredTime":1900001800,"Expiration":null,"RequestId":"r"}}"#;

    #[test]
    fn a_key_is_read_and_its_expiry_is_the_servers() {
        let key = answer(KEY).unwrap();
        assert_eq!(key.expires.as_second(), NOW + 1800);
        assert_eq!((key.secret_id.as_str(), key.request_id.as_str()), ("i", "r"));
    }

    #[test]
    fn an_error_with_http_200_is_an_error_and_its_message_is_not_kept() {
        let failure = answer(
            r#"{"Response":{"Error":{"Code":"AuthFailure.SecretIdNotFound","Message":"AKIDsecret not found"},"RequestId":"r-1"}}"#,
        )
        .unwrap_err();
        assert_eq!(failure.class, Class::SourceCredentialsRejected);
        assert_eq!(failure.detail, "AuthFailure.SecretIdNotFound, request r-1");
    }

    #[test]
    fn whatever_is_not_a_whole_living_key_is_a_transient_failure() {
        for body in [
            String::new(),
            "<html>502 Bad Gateway</html>".to_owned(),
            "{}".to_owned(),
            "null".to_owned(),
            r#"{"Response":{}}"#.to_owned(),
            KEY.chars().take(KEY.len() / 2).collect(),
            KEY.replace(r#""Token":"t","#, ""),
            KEY.replace(r#""Token":"t""#, r#""Token":"""#),
            KEY.replace(r#""Token":"t""#, r#""Token":null"#),
            KEY.replace(r#""TmpSecretKey":"k""#, r#""TmpSecretKey":"""#),
            KEY.replace("1900001800", "1900000000"),
            KEY.replace("1900001800", "0"),
            KEY.replace("1900001800", "-1"),
            KEY.replace("1900001800", "9223372036854775807"),
            KEY.replace("1900001800", "\"1900001800\""),
        ] {
            assert_eq!(answer(&body).unwrap_err().class, Class::Transient, "{body}");
        }
    }

    #[test]
    fn a_key_without_a_name_is_none() {
        let body = KEY.replace(r#""TmpSecretId":"i""#, r#""TmpSecretId":"""#);
        assert_eq!(answer(&body).unwrap_err().class, Class::Transient);
    }
}
