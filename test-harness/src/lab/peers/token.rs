//! Tokens of the development identity provider: good ones, and the forgeries a gateway must refuse.
//!
//! Tokens are put together here from their parts, because a library that makes only valid tokens cannot make the others.

use super::keys::{KeyError, KeyKind, SigningKeys};
use super::personas::Persona;
use dev_keys::encode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

/// What token to make. Everything may be left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TokenSpec {
    /// A persona's name, or any subject; without a persona of that name the user is in no group.
    pub user: Option<String>,
    /// `iss`; the provider's own unless given.
    pub issuer: Option<String>,
    /// `aud`, a string or an array; `payments` unless given.
    pub audience: Option<Value>,
    /// Which key signs.
    pub key: KeyKind,
    /// The secret for `hs256`.
    pub secret: Option<String>,
    /// From now to `exp`; 600 unless given, negative for an expired token.
    pub expires_in_seconds: Option<i64>,
    /// Claims to set, over all others; `null` removes one.
    pub claims: Map<String, Value>,
    /// Header parameters to set, over all others; `null` removes one.
    pub header: Map<String, Value>,
    /// What to do to the finished token.
    pub forge: Option<Forgery>,
}

/// Ways to make a token wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forgery {
    /// `alg: none` and no signature (RFC 8725 §2.1).
    Unsigned,
    /// A signature over something else.
    BadSignature,
    /// Claims changed after signing.
    ChangedClaims,
    /// Signed with a key that is not in the key set, under the id of one that is.
    StrangerKey,
    /// As `stranger_key`, with the stranger's public key in the header's `jwk`.
    EmbeddedKey,
    /// Signed with a key whose id the key set does not have.
    UnknownKid,
    /// HS256 with the public RSA key as the secret (RFC 8725 §2.1).
    PublicKeyAsSecret,
    /// `sub` stands twice.
    DuplicateMember,
    /// Base64 padding after the signature (RFC 7515 §2 forbids it).
    Padded,
    /// Only two parts.
    TwoParts,
    /// Five parts, as an encrypted token (RFC 7516) has.
    FiveParts,
    /// A header that is not JSON.
    HeaderNotJson,
    /// Claims that are not UTF-8.
    ClaimsNotUtf8,
    /// Claims nested a thousand arrays deep.
    DeepClaims,
}

/// Who issues, and when.
#[derive(Debug)]
pub struct Mint<'a> {
    /// The provider's `iss`.
    pub issuer: &'a str,
    /// Its keys.
    pub keys: &'a SigningKeys,
    /// Seconds since the Unix epoch.
    pub now: i64,
}

impl Mint<'_> {
    /// Makes a token.
    ///
    /// # Errors
    /// When a key cannot be made or does not sign.
    pub fn token(&self, spec: &TokenSpec) -> Result<String, KeyError> {
        let stranger = matches!(spec.forge, Some(Forgery::StrangerKey | Forgery::EmbeddedKey | Forgery::UnknownKid));
        let stranger = if stranger { Some(SigningKeys::generate()?) } else { None };
        let keys = stranger.as_ref().unwrap_or(self.keys);
        let header = self.header(spec, keys);
        let claims = Value::Object(self.claims(spec)).to_string();
        let header = match spec.forge {
            Some(Forgery::HeaderNotJson) => encode(b"{\"alg\":"),
            _ => encode(Value::Object(header).to_string().as_bytes()),
        };
        let claims = match spec.forge {
            Some(Forgery::DuplicateMember) => encode(claims.replacen('{', "{\"sub\":\"payments-dev\",", 1).as_bytes()),
            Some(Forgery::ClaimsNotUtf8) => {
                encode(&[claims.trim_end_matches('}').as_bytes(), b",\"name\":\"\xff\"}"].concat())
            }
            Some(Forgery::DeepClaims) => {
                let deep = format!(",\"deep\":{}{}}}", "[".repeat(1000), "]".repeat(1000));
                encode([claims.trim_end_matches('}'), &deep].concat().as_bytes())
            }
            _ => encode(claims.as_bytes()),
        };
        let input = format!("{header}.{claims}");
        let secret = spec.secret.as_deref().unwrap_or_default();
        let signature = match spec.forge {
            Some(Forgery::Unsigned) => String::new(),
            Some(Forgery::BadSignature) => encode(&keys.sign(spec.key, secret.as_bytes(), b"something else")?),
            Some(Forgery::PublicKeyAsSecret) => {
                encode(&keys.sign(KeyKind::Hs256, &keys.rsa_modulus(), input.as_bytes())?)
            }
            _ => encode(&keys.sign(spec.key, secret.as_bytes(), input.as_bytes())?),
        };
        Ok(match spec.forge {
            Some(Forgery::ChangedClaims) => {
                let mut changed = self.claims(spec);
                changed.insert("groups".to_owned(), json!(["payments", "checkout", "admins"]));
                format!("{header}.{}.{signature}", encode(Value::Object(changed).to_string().as_bytes()))
            }
            Some(Forgery::Padded) => format!("{input}.{signature}=="),
            Some(Forgery::TwoParts) => input,
            Some(Forgery::FiveParts) => format!("{input}.{signature}.{signature}.{signature}"),
            _ => format!("{input}.{signature}"),
        })
    }

    fn header(&self, spec: &TokenSpec, keys: &SigningKeys) -> Map<String, Value> {
        let (algorithm, kid) = match spec.forge {
            Some(Forgery::Unsigned) => ("none", None),
            Some(Forgery::PublicKeyAsSecret) => ("HS256", Some(keys.kid(KeyKind::Rs256))),
            Some(Forgery::UnknownKid) => (spec.key.algorithm(), Some(keys.kid(spec.key))),
            _ if spec.key == KeyKind::Hs256 => ("HS256", None),
            _ => (spec.key.algorithm(), Some(self.keys.kid(spec.key))),
        };
        let mut header = Map::new();
        header.insert("typ".to_owned(), json!("at+jwt"));
        header.insert("alg".to_owned(), json!(algorithm));
        if let Some(kid) = kid {
            header.insert("kid".to_owned(), json!(kid));
        }
        if spec.forge == Some(Forgery::EmbeddedKey) {
            let own = keys.public().into_iter().find(|key| key.get("alg") == Some(&json!(algorithm)));
            header.insert("jwk".to_owned(), own.unwrap_or_default());
        }
        lay_over(&mut header, &spec.header);
        header
    }

    fn claims(&self, spec: &TokenSpec) -> Map<String, Value> {
        let user = spec.user.as_deref().unwrap_or("intern");
        let persona = Persona::find(user);
        let mut claims = Map::new();
        let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        set("iss", json!(spec.issuer.as_deref().unwrap_or(self.issuer)));
        set("sub", json!(persona.map_or(user, |persona| persona.subject)));
        set("aud", spec.audience.clone().unwrap_or_else(|| json!("payments")));
        set("iat", json!(self.now + spec.expires_in_seconds.unwrap_or(0).min(0) - 1));
        set("exp", json!(self.now + spec.expires_in_seconds.unwrap_or(600)));
        set("jti", json!(format!("{:016x}", rand::random::<u64>())));
        set("azp", json!("developer-portal"));
        set("groups", json!(persona.map_or(&[] as &[&str], |persona| persona.groups)));
        if let Some(agent) = persona.and_then(|persona| persona.agent) {
            set("act", json!({"sub": agent}));
            set("azp", json!(agent));
        }
        if let Some(service) = persona.and_then(|persona| persona.service) {
            set("service", json!(service));
            set("azp", json!(service));
        }
        lay_over(&mut claims, &spec.claims);
        claims
    }
}

fn lay_over(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (name, value) in over {
        if value.is_null() {
            under.remove(name);
        } else {
            under.insert(name.clone(), value.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn mint(spec: Value) -> (String, SigningKeys) {
        let keys = SigningKeys::generate().unwrap();
        let mint = Mint { issuer: "http://peers:9081", keys: &keys, now: 1_000_000 };
        (mint.token(&serde_json::from_value(spec).unwrap()).unwrap(), keys)
    }

    fn part(token: &str, index: usize) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(token.split('.').nth(index).unwrap()).unwrap()
    }

    fn json_part(token: &str, index: usize) -> Value {
        serde_json::from_slice(&part(token, index)).unwrap()
    }

    #[test]
    fn a_persona_has_its_claims_and_they_can_be_laid_over() {
        let (token, _) = mint(json!({"user": "release-bot", "claims": {"tenant": "acme", "jti": null}}));
        let claims = json_part(&token, 1);
        assert_eq!(claims["sub"], "payments-dev");
        assert_eq!(claims["act"]["sub"], "release-bot");
        assert_eq!(claims["groups"], json!(["payments"]));
        assert_eq!(claims["exp"], 1_000_600);
        assert_eq!((&claims["tenant"], claims.get("jti")), (&json!("acme"), None));
    }

    #[test]
    fn a_token_names_the_published_key_of_its_algorithm() {
        for (kind, index) in [("rs256", 0), ("es256", 1), ("eddsa", 2)] {
            let (token, keys) = mint(json!({"key": kind}));
            let (header, published) = (json_part(&token, 0), keys.public());
            assert_eq!(
                (&header["kid"], &header["alg"]),
                (&published[index]["kid"], &published[index]["alg"]),
                "{kind}"
            );
        }
    }

    #[test]
    fn forgeries_are_what_they_say() {
        let (unsigned, _) = mint(json!({"forge": "unsigned", "header": {"alg": "nOnE"}}));
        assert_eq!(json_part(&unsigned, 0)["alg"], "nOnE");
        assert!(unsigned.ends_with('.'));
        let (stranger, keys) = mint(json!({"forge": "embedded_key"}));
        assert_eq!(json_part(&stranger, 0)["kid"], json!(keys.kid(KeyKind::Es256)));
        assert_ne!(json_part(&stranger, 0)["jwk"]["x"], keys.public()[1]["x"]);
        let (twice, _) = mint(json!({"user": "intern", "forge": "duplicate_member"}));
        assert_eq!(String::from_utf8(part(&twice, 1)).unwrap().matches("\"sub\"").count(), 2);
        let (parts, _) = mint(json!({"forge": "five_parts"}));
        assert_eq!(parts.split('.').count(), 5);
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let error = serde_json::from_value::<TokenSpec>(json!({"usr": "x"})).unwrap_err().to_string();
        assert!(error.contains("unknown field `usr`"), "{error}");
    }
}
