//! `OpenID` Connect discovery: the issuer's own document says where its key set is (`OpenID` Connect Discovery 1.0 §4,
//! RFC 8414 §3).

use serde_json::Value;
use url::Url;

use super::{document_client::DocumentClient, json_document::json_object, key::KeyFault};
use crate::config::{DiscoverySource, Network};
use diagnostics::to_single_line;

/// Finds the key set of an issuer by its discovery document, which is read again for each fetch of the set.
#[derive(Debug)]
pub(super) struct Discovery {
    client: DocumentClient,
    source: DiscoverySource,
    issuer: String,
    network: Network,
}

impl Discovery {
    pub(super) fn new(
        client: DocumentClient,
        source: DiscoverySource,
        issuer: &str,
        network: &Network,
    ) -> Self {
        Self { client, source, issuer: issuer.to_owned(), network: network.clone() }
    }

    /// Reads the key set that the document names.
    pub(super) async fn read_key_set(&self) -> Result<Vec<u8>, KeyFault> {
        let (document_url, document) = self.document().await?;
        let in_document = |fault: KeyFault| KeyFault(format!("cannot be found: `{document_url}` {fault}"));
        let jwks_uri = jwks_uri(&document, &self.issuer).map_err(in_document)?;
        if !may_follow(document_url, &jwks_uri, &self.network) {
            return Err(in_document(KeyFault(format!(
                "names the jwks_uri `{jwks_uri}`, which is not https; for http inside a cluster name its host in network.plain_http_hosts"
            ))));
        }
        let fetched = self.client.get(&jwks_uri).await;
        fetched
            .map_err(|fault| KeyFault(format!("at `{jwks_uri}`, the jwks_uri of `{document_url}`, {fault}")))
    }

    /// Fetches the document from the first of its addresses that has it.
    async fn document(&self) -> Result<(&Url, Vec<u8>), KeyFault> {
        let mut fault = KeyFault("has no address".to_owned());
        for url in self.source.documents() {
            match self.client.get(url).await {
                Ok(document) => return Ok((url, document)),
                Err(error) => {
                    fault = KeyFault(format!("cannot be found: the discovery document `{url}` {error}"));
                    if !error.is_not_found() {
                        break;
                    }
                }
            }
        }
        Err(fault)
    }
}

impl std::fmt::Display for Discovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let document = self.source.documents().first().map(Url::as_str).unwrap_or_default();
        write!(f, "jwks_uri of {document}")
    }
}

/// Returns the address of the key set. The document must be this issuer's own: an address that serves the document of
/// another issuer would make its keys trusted (`OpenID` Connect Discovery 1.0 §4.3).
fn jwks_uri(document: &[u8], issuer: &str) -> Result<Url, KeyFault> {
    let document = json_object(document, "a discovery document")?;
    if document.contains_key("keys") {
        return Err(KeyFault("is a JWK set, not a discovery document: use it as jwks_url".to_owned()));
    }
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let named = text("issuer").unwrap_or_default();
    if named != issuer {
        return Err(KeyFault(format!(
            "is the discovery document of `{}`, not of `{issuer}`; write issuer exactly as the document has it, if that is what the tokens say",
            to_single_line(named)
        )));
    }
    let jwks_uri = text("jwks_uri").ok_or_else(|| KeyFault("has no `jwks_uri`".to_owned()))?;
    Url::parse(jwks_uri).map_err(|error| KeyFault(format!("names a jwks_uri that is not a URL: {error}")))
}

/// Returns whether the key set may be fetched where the document says. A document from a public address must not lead to
/// an address of this network, such as the metadata of a cloud instance.
fn may_follow(document: &Url, jwks_uri: &Url, network: &Network) -> bool {
    network.permits_issuer(jwks_uri) && (!is_private_address(jwks_uri) || is_private_address(document))
}

/// Returns whether the host is written as an address that is not public.
fn is_private_address(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Ipv4(address)) => {
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
        }
        Some(url::Host::Ipv6(address)) => {
            address.is_loopback()
                || address.is_unspecified()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.to_ipv4_mapped().is_some()
        }
        Some(url::Host::Domain(name)) => name == "localhost",
        None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(document: &str) -> Result<String, String> {
        jwks_uri(document.as_bytes(), "https://id.example.com/").map(String::from).map_err(|fault| fault.0)
    }

    #[test]
    fn a_document_is_used_only_if_it_is_that_of_the_issuer() {
        let good = r#"{"issuer":"https://id.example.com/","jwks_uri":"https://keys.example.net/k"}"#;
        assert_eq!(found(good), Ok("https://keys.example.net/k".to_owned()));
        assert_eq!(found(&format!("\u{feff}{good}")).as_deref(), Ok("https://keys.example.net/k"));
        for (document, message) in [
            (
                good.replace("example.com/", "example.com"),
                "of `https://id.example.com`, not of `https://id.example.com/`",
            ),
            (good.replace("id.example.com", "evil.test"), "of `https://evil.test/`"),
            (good.replace("jwks_uri", "jwks"), "no `jwks_uri`"),
            (good.replace("https://keys", "keys"), "not a URL"),
            (r#"{"keys":[]}"#.to_owned(), "is a JWK set, not a discovery document"),
            ("<!doctype html>".to_owned(), "is an HTML or XML page"),
            ("{}".to_owned(), "of ``"),
            ("[]".to_owned(), "is not a discovery document"),
        ] {
            let fault = found(&document).unwrap_err();
            assert!(fault.contains(message), "{document}: {fault}");
        }
    }

    #[test]
    fn a_document_from_a_public_address_does_not_lead_into_this_network() {
        let follows = |document: &str, jwks_uri: &str| {
            may_follow(&document.parse().unwrap(), &jwks_uri.parse().unwrap(), &Network::default())
        };
        let public = "https://id.example.com/.well-known/openid-configuration";
        assert!(follows(public, "https://www.googleapis.example/oauth2/v3/certs"));
        assert!(follows("http://127.0.0.1:8080/d", "http://127.0.0.1:8080/jwks"));
        assert!(follows("https://10.0.0.7/d", "https://10.0.0.7/jwks"));
        for jwks_uri in [
            "http://id.example.com/jwks",
            "http://127.0.0.1/jwks",
            "https://127.0.0.1/jwks",
            "https://169.254.169.254/latest",
            "https://10.0.0.7/jwks",
            "https://[::1]/jwks",
            "https://[fd00::1]/jwks",
            "https://[::ffff:10.0.0.1]/jwks",
            "https://localhost/jwks",
            "file:///etc/passwd",
        ] {
            assert!(!follows(public, jwks_uri), "{jwks_uri}");
        }
    }
}
