//! What a signature covers, and what the error for a wrong one says.

use super::*;

/// Returns the `Authorization` of a request with these signed headers and without parameters.
pub(super) fn authorization(by: &Key, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let headers = pairs(headers);
    let request = Request { method, path, parameters: &[], headers: &headers };
    let fields = request.authorize(&by.id, &by.secret, by.window);
    fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A client that leaves `+` unescaped in a path must sign a space in its place.
#[tokio::test]
async fn a_plus_in_a_path_is_signed_as_a_space_and_the_error_shows_it() {
    let sandbox = Sandbox::start();
    let account = Key::of_account(&sandbox);
    let host = sandbox.cloud.to_string();
    let url = sandbox.url(&format!("/{BUCKET}/a+b.txt"));
    for (signed, expected) in [("a b.txt", (200, "")), ("a+b.txt", (403, "SignatureDoesNotMatch"))] {
        let signed = authorization(&account, "PUT", &format!("/{BUCKET}/{signed}"), &[("host", &host)]);
        let answer = Answer::of(sandbox.http.put(&url).header("authorization", signed).body("x")).await;
        assert_eq!(code(&answer), expected, "{answer:?}");
        if answer.status == 403 {
            for part in [
                format!("<FormatString>put\n/{BUCKET}/a b.txt\n\nhost={}\n</FormatString>", encoded(&host)),
                "<StringToSign>sha1\n0;4000000000\n".to_owned(),
            ] {
                assert!(answer.body.contains(&part), "{part}: {answer:?}");
            }
        }
    }
    let stored = account.send(&sandbox, CosRequest::new(Method::GET, "a+b.txt")).await;
    assert_eq!(stored.body, "x", "only the signature takes it for a space");
}

/// The older form has the whole authorization in one parameter (docs 436/36162).
#[tokio::test]
async fn the_older_form_of_a_signed_url_is_accepted() {
    let sandbox = Sandbox::start();
    let alice = Key::for_user(&sandbox, "files", "alice").await;
    let host = sandbox.cloud.to_string();
    let path = format!("/{BUCKET}/users/alice/a");
    let signed = authorization(&alice, "PUT", &path, &[("host", &host)]);
    for (signed, expected) in [
        (signed.replace("q-signature=", "q-signature=0"), (403, "SignatureDoesNotMatch")),
        (signed, (200, "")),
    ] {
        let token = alice.token.clone().unwrap();
        let query = [("sign", signed.as_str()), ("x-cos-security-token", &token)];
        let url = url::Url::parse_with_params(&sandbox.url(&path), query).unwrap();
        let answer = Answer::of(sandbox.http.put(url).body("x")).await;
        assert_eq!(code(&answer), expected, "{answer:?}");
    }
}
