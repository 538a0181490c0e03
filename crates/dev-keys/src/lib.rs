//! Keys and signatures for tokens of development: what the command makes on request, and what the development identity
//! provider and the tests sign with. The primitives are RustCrypto's. Nothing here is for production.

mod key;

pub use key::{Algorithm, KeyError, SigningKey, sign_hmac};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// base64url without padding (RFC 7515 §2).
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// What a signature is over (RFC 7515 §5.1): header and claims, each encoded.
pub fn signing_input(header: &Map<String, Value>, claims: &Map<String, Value>) -> String {
    let encoded = |members: &Map<String, Value>| encode(Value::Object(members.clone()).to_string().as_bytes());
    format!("{}.{}", encoded(header), encoded(claims))
}
