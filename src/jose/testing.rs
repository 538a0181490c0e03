//! Keys made for one test run, and tokens signed with them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use hmac::{Hmac, KeyInit, Mac};
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, Pss};
use serde_json::{Value, json};
use sha2::{Digest, Sha256, Sha384, Sha512};
use std::sync::LazyLock;

pub(crate) const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static RSA: LazyLock<rsa::PrivateKey> = LazyLock::new(|| rsa::PrivateKey::new(&mut rand::rng(), 2048).unwrap());
static JWKS: LazyLock<String> = LazyLock::new(|| set(&[p256_jwk("es256", 1), p384_jwk(), ed25519_jwk(), rsa_jwk()]));
static OTHER_JWKS: LazyLock<String> = LazyLock::new(|| set(&[p256_jwk("other", 2)]));

/// A set with a key for every asymmetric algorithm; each `kid` is the lower-case name of the key's first algorithm.
pub(crate) fn jwks() -> &'static str {
    &JWKS
}

/// A set with none of those keys.
pub(crate) fn other_jwks() -> &'static str {
    &OTHER_JWKS
}

/// A token with the usual header.
pub(crate) fn token(alg: &str, claims: &Value) -> String {
    signed(alg, json!({"alg": alg, "kid": kid(alg), "typ": "JWT"}).to_string(), claims.to_string())
}

/// Signs whatever header and payload it is given.
pub(crate) fn signed(alg: &str, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
    let message = format!("{}.{}", encode(header), encode(payload));
    let signature = sign(alg, message.as_bytes());
    format!("{message}.{}", encode(signature))
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn kid(alg: &str) -> String {
    if alg.starts_with("RS") || alg.starts_with("PS") { "rs256".to_owned() } else { alg.to_lowercase() }
}

fn sign(alg: &str, message: &[u8]) -> Vec<u8> {
    let mut rng = rand::rng();
    match alg {
        "ES256" => {
            let signature: p256::ecdsa::Signature = p256_key(1).sign(message);
            signature.to_bytes().to_vec()
        }
        "ES384" => {
            let signature: p384::ecdsa::Signature = p384_key().sign(message);
            signature.to_bytes().to_vec()
        }
        "EdDSA" => ed25519_key().sign(message).to_bytes().to_vec(),
        "RS256" => RSA.sign(Pkcs1v15Sign::new::<Sha256>(), &Sha256::digest(message)).unwrap(),
        "RS384" => RSA.sign(Pkcs1v15Sign::new::<Sha384>(), &Sha384::digest(message)).unwrap(),
        "RS512" => RSA.sign(Pkcs1v15Sign::new::<Sha512>(), &Sha512::digest(message)).unwrap(),
        "PS256" => RSA.sign_with_rng(&mut rng, Pss::<Sha256>::new(), &Sha256::digest(message)).unwrap(),
        "PS384" => RSA.sign_with_rng(&mut rng, Pss::<Sha384>::new(), &Sha384::digest(message)).unwrap(),
        "PS512" => RSA.sign_with_rng(&mut rng, Pss::<Sha512>::new(), &Sha512::digest(message)).unwrap(),
        "HS256" => Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec(),
        "HS384" => Hmac::<Sha384>::new_from_slice(SECRET.as_bytes())
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec(),
        "HS512" => Hmac::<Sha512>::new_from_slice(SECRET.as_bytes())
            .unwrap()
            .chain_update(message)
            .finalize()
            .into_bytes()
            .to_vec(),
        other => panic!("no key signs {other}"),
    }
}

fn p256_key(seed: u8) -> p256::ecdsa::SigningKey {
    p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()
}

fn p384_key() -> p384::ecdsa::SigningKey {
    p384::ecdsa::SigningKey::from_slice(&[3; 48]).unwrap()
}

fn ed25519_key() -> ed25519_dalek::SigningKey {
    ed25519_dalek::SigningKey::from_bytes(&[4; 32])
}

fn p256_jwk(kid: &str, seed: u8) -> Value {
    let point = p256_key(seed).verifying_key().to_sec1_point(false);
    json!({"kty": "EC", "crv": "P-256", "kid": kid, "use": "sig", "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap())})
}

fn p384_jwk() -> Value {
    let point = p384_key().verifying_key().to_sec1_point(false);
    json!({"kty": "EC", "crv": "P-384", "kid": "es384", "x": encode(point.x().unwrap()), "y": encode(point.y().unwrap())})
}

fn ed25519_jwk() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": "eddsa", "alg": "EdDSA", "x": encode(ed25519_key().verifying_key().as_bytes())})
}

fn rsa_jwk() -> Value {
    let number = |bytes: Box<[u8]>| encode(bytes.iter().copied().skip_while(|byte| *byte == 0).collect::<Vec<_>>());
    json!({"kty": "RSA", "kid": "rs256", "n": number(RSA.n().to_be_bytes()), "e": number(RSA.e().to_be_bytes())})
}

fn set(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}
