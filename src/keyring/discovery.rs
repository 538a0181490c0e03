//! A provider's metadata (OpenID Connect Discovery §3).

use super::result::FetchResult;
use crate::config::RemoteSource;
use crate::http::Endpoint;
use crate::json::Object;
use serde::Deserialize;

/// Largest metadata document that is read, in bytes.
pub(super) const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// The members that matter.
#[derive(Deserialize)]
struct ProviderMetadata {
    issuer: String,
    jwks_uri: String,
}

/// The `jwks_uri` of a document, if the document is the issuer's own and the URI one that may be followed.
///
/// # Errors
/// What is wrong with the document.
pub(super) fn read(source: &RemoteSource, issuer: &str, document: &[u8]) -> Result<String, FetchResult> {
    if document.len() > MAX_DOCUMENT_BYTES {
        return Err(FetchResult::Unusable);
    }
    let Object(metadata) =
        serde_json::from_slice::<Object<ProviderMetadata>>(document).map_err(|_| FetchResult::Unusable)?;
    if metadata.issuer != issuer {
        return Err(FetchResult::WrongIssuer);
    }
    follow(source, &metadata.jwks_uri)?;
    Ok(metadata.jwks_uri)
}

/// Where the keys are, by a `jwks_uri`. It may not step down from https to http, nor lead to another host than the
/// document's unless the configuration says where the proxy connects for that.
///
/// # Errors
/// [`FetchResult::KeysElsewhere`] for a URI that is not followed.
pub(super) fn follow(source: &RemoteSource, jwks_uri: &str) -> Result<Endpoint, FetchResult> {
    let RemoteSource::Discovery { document, jwks_upstream } = source else { return Err(FetchResult::KeysElsewhere) };
    let upstream = jwks_upstream.as_deref().unwrap_or(&document.upstream);
    let keys = Endpoint::parse(jwks_uri, Some(upstream)).ok_or(FetchResult::KeysElsewhere)?;
    let same_host = keys.authority == document.authority || jwks_upstream.is_some();
    let as_safe = keys.scheme == document.scheme || keys.scheme == "https";
    if same_host && as_safe { Ok(keys) } else { Err(FetchResult::KeysElsewhere) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source(document: &str, jwks_upstream: Option<&str>) -> RemoteSource {
        let document = Endpoint::parse(document, Some("idp:1")).unwrap();
        RemoteSource::Discovery { document, jwks_upstream: jwks_upstream.map(str::to_owned) }
    }

    #[test]
    fn the_keys_are_where_the_issuers_own_document_says() {
        let source = source("https://idp.example/realms/a/.well-known/openid-configuration", None);
        let document = json!({"issuer": "https://idp.example/realms/a", "jwks_uri": "https://idp.example/keys?x=1"});
        let uri = read(&source, "https://idp.example/realms/a", document.to_string().as_bytes()).unwrap();
        let keys = follow(&source, &uri).unwrap();
        assert_eq!((keys.path.as_str(), keys.upstream.as_str()), ("/keys?x=1", "idp:1"));
    }

    #[test]
    fn a_document_that_cannot_be_trusted_is_refused_by_its_fault() {
        let issuer = "https://idp.example";
        let document = |issuer: &str, uri: &str| json!({"issuer": issuer, "jwks_uri": uri}).to_string();
        let cases = [
            ("<html>".to_owned(), FetchResult::Unusable),
            ("{}".to_owned(), FetchResult::Unusable),
            (json!([issuer, "https://idp.example/k"]).to_string(), FetchResult::Unusable),
            (json!([{"issuer": issuer, "jwks_uri": "https://idp.example/k"}]).to_string(), FetchResult::Unusable),
            (json!({"issuer": issuer}).to_string(), FetchResult::Unusable),
            (
                format!("{}{}", " ".repeat(MAX_DOCUMENT_BYTES), document(issuer, "https://idp.example/k")),
                FetchResult::Unusable,
            ),
            (document("https://idp.example/", "https://idp.example/k"), FetchResult::WrongIssuer),
            (document("https://evil.example", "https://idp.example/k"), FetchResult::WrongIssuer),
            (document(issuer, "https://evil.example/k"), FetchResult::KeysElsewhere),
            (document(issuer, "http://idp.example/k"), FetchResult::KeysElsewhere),
            (document(issuer, "file:///etc/passwd"), FetchResult::KeysElsewhere),
        ];
        let source = source("https://idp.example/.well-known/openid-configuration", None);
        for (text, fault) in cases {
            assert_eq!(read(&source, issuer, text.as_bytes()), Err(fault), "{:.60}", text.trim());
        }
    }

    #[test]
    fn keys_on_another_host_are_fetched_where_the_configuration_says() {
        let source = source("https://accounts.example/.well-known/openid-configuration", Some("keys:443"));
        let keys = follow(&source, "https://www.example/certs").unwrap();
        assert_eq!((keys.authority.as_str(), keys.upstream.as_str()), ("www.example", "keys:443"));
        assert!(follow(&source, "http://www.example/certs").is_err(), "never without TLS where the document had it");
    }
}
