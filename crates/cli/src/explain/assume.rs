//! What is taken for granted in an explanation and is not at a gateway.

use backstage_kong::config::{Audiences, Config, Issuer, KeySource};
use backstage_kong::host::UnixMillis;
use backstage_kong::jose::Algorithm;
use backstage_kong::jose::KeySet;
use dev_keys::{SigningKey, encode, signing_input};
use serde_json::{Map, Value, json};
use std::rc::Rc;

/// How long a token that is made of claims alone lasts, in seconds.
const LIFETIME: u64 = 300;

/// What is taken for granted.
#[derive(Default)]
pub struct Assumptions {
    /// The keys of issuers whose keys a provider serves.
    pub keys: Option<KeySet>,
    /// That a token with these claims had verified.
    pub claims: Option<AsIf>,
    /// That the catalog is the one that was read beforehand.
    pub catalog: bool,
}

/// Claims, as if a token with them had verified: a key for the moment signs them.
pub struct AsIf {
    claims: Map<String, Value>,
    key: SigningKey,
    keys: KeySet,
}

/// What a request shows in the place of a token, or with it.
#[derive(Default)]
pub(super) struct Presented {
    /// The header that has the token.
    pub header: Option<(String, Vec<u8>)>,
    /// What had to be made up.
    pub notes: Vec<String>,
    /// Whether form, algorithm and signature are taken for granted.
    pub assumed: bool,
}

impl AsIf {
    /// As if a token with these claims had verified.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(claims: Map<String, Value>) -> anyhow::Result<Self> {
        let key = SigningKey::generate(dev_keys::Algorithm::Es256)?;
        let set = json!({"keys": [key.public_jwk(&key.kid())]});
        let keys = KeySet::parse(set.to_string().as_bytes())?;
        Ok(Self { claims, key, keys })
    }

    /// A token, and the claims that were missing for it to hold.
    fn token(&self, config: &Config, now: UnixMillis) -> Result<(String, Vec<String>), dev_keys::KeyError> {
        let mut claims = self.claims.clone();
        let mut made_up = Vec::new();
        let mut fill = |claims: &mut Map<String, Value>, name: &str, value: Value| {
            if !claims.contains_key(name) {
                made_up.push(format!("{name} = {value}"));
                claims.insert(name.to_owned(), value);
            }
        };
        if let Some(first) = config.issuers.first() {
            fill(&mut claims, "iss", json!(first.issuer));
        }
        let issuer = config.issuers.iter().find(|issuer| claims.get("iss") == Some(&json!(issuer.issuer)));
        if let Some(Audiences::AnyOf(wanted) | Audiences::AllOf(wanted)) = issuer.map(|issuer| &issuer.audiences)
            && let Some(name) = issuer.map(|issuer| issuer.claims.audience.0.as_str())
            && !name.starts_with('/')
        {
            fill(&mut claims, name, json!(wanted));
        }
        fill(&mut claims, "iat", json!(now.seconds()));
        fill(&mut claims, "exp", json!(now.seconds() + LIFETIME));
        let mut header = Map::from_iter([
            ("alg".to_owned(), json!(self.key.algorithm().name())),
            ("kid".to_owned(), json!(self.key.kid())),
        ]);
        if let Some(typ) = issuer.and_then(|issuer| issuer.typ.first()) {
            header.insert("typ".to_owned(), json!(typ));
        }
        let input = signing_input(&header, &claims);
        let signature = encode(&self.key.sign(input.as_bytes())?);
        Ok((format!("{input}.{signature}"), made_up))
    }
}

impl Assumptions {
    /// Changes a configuration to what is taken for granted.
    pub(super) fn adjust(&self, config: &mut Config) {
        // Whoever explains does not charge: an engine is a cluster's real budget.
        if let Some(quotas) = &mut config.quotas {
            quotas.engine = None;
        }
        // The line is shown whether or not it would be written.
        config.audit.sample_allows = 1.0;
        // Nobody else has an issuer that was parsed a moment ago.
        for issuer in config.issuers.iter_mut().filter_map(Rc::get_mut) {
            self.adjust_issuer(issuer);
        }
    }

    fn adjust_issuer(&self, issuer: &mut Issuer) {
        match (&self.claims, &self.keys) {
            (Some(as_if), _) => {
                issuer.keys = KeySource::Inline(as_if.keys.clone());
                issuer.algorithms = vec![Algorithm::Es256];
                // The endpoint would be asked with a token that it never issued.
                issuer.userinfo = None;
            }
            (None, Some(keys)) if matches!(issuer.keys, KeySource::Remote(_)) => {
                issuer.keys = KeySource::Inline(keys.clone());
            }
            (None, _) => {}
        }
    }

    /// What a request shows: the token, or one that is made of claims.
    pub(super) fn present(&self, config: &Config, token: Option<&str>, now: UnixMillis) -> Presented {
        let mut presented = Presented::default();
        let made = match &self.claims {
            Some(as_if) => match as_if.token(config, now) {
                Ok((token, made_up)) => {
                    presented.assumed = true;
                    presented.notes.push("a token with these claims is taken to have verified".to_owned());
                    presented.notes.extend((!made_up.is_empty()).then(|| format!("added: {}", made_up.join(", "))));
                    Some(token)
                }
                Err(error) => {
                    presented.notes.push(format!("no token could be made of the claims: {error}"));
                    None
                }
            },
            None => token.map(str::to_owned),
        };
        if self.catalog && config.catalog.is_none() {
            let note = "the configuration has no `catalog`: owner and consumers are those that it names itself";
            presented.notes.push(note.to_owned());
        }
        let credentials = &config.credentials;
        presented.header = made.map(|token| {
            let value = match &credentials.scheme {
                Some(scheme) => format!("{scheme} {token}"),
                None => token,
            };
            (credentials.header.clone(), value.into_bytes())
        });
        presented
    }
}
