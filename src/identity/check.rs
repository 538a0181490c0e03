//! The checks of a token, in the order in which they are made.

use super::TokenError;

/// A check of a token. They are made in this order, and the first that fails ends it. Two begin before the signature and end after
/// it, when all claims are read: [`Check::Form`], and [`Check::Audience`] where its claim is found by a pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// It is a compact JWS whose header and claims can be read.
    Form,
    /// It has no header parameter that would change its meaning.
    Critical,
    /// Its issuer is one of the route's.
    Issuer,
    /// Its algorithm is one that the issuer may use.
    Algorithm,
    /// Its `typ` is what the issuer's tokens have.
    Type,
    /// It is valid now, and not for too long.
    Times,
    /// It is meant for this route.
    Audience,
    /// A key of the issuer fits.
    Key,
    /// The signature is right.
    Signature,
    /// It has the claims that are demanded.
    Claims,
    /// It names a client, where that is demanded.
    Client,
    /// It has the scopes that are demanded.
    Scopes,
    /// It names a user, a service or an agent.
    Principal,
    /// The issuer, where it was asked, stands by it.
    Userinfo,
}

impl Check {
    /// All of them, in order.
    pub const ALL: [Self; 14] = [
        Self::Form,
        Self::Critical,
        Self::Issuer,
        Self::Algorithm,
        Self::Type,
        Self::Times,
        Self::Audience,
        Self::Key,
        Self::Signature,
        Self::Claims,
        Self::Client,
        Self::Scopes,
        Self::Principal,
        Self::Userinfo,
    ];

    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Critical => "critical",
            Self::Issuer => "issuer",
            Self::Algorithm => "algorithm",
            Self::Type => "type",
            Self::Times => "times",
            Self::Audience => "audience",
            Self::Claims => "claims",
            Self::Client => "client",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Scopes => "scopes",
            Self::Principal => "principal",
            Self::Userinfo => "userinfo",
        }
    }
}

impl TokenError {
    /// The check that failed.
    pub fn check(&self) -> Check {
        match self {
            Self::Malformed(_) => Check::Form,
            Self::Critical => Check::Critical,
            Self::UnknownIssuer => Check::Issuer,
            Self::AlgorithmNotAllowed => Check::Algorithm,
            Self::WrongType => Check::Type,
            Self::MissingClaim(name) | Self::MalformedClaim(name) => match name.as_str() {
                "exp" | "nbf" | "iat" => Check::Times,
                _ => Check::Audience,
            },
            Self::Expired | Self::NotYetValid | Self::IssuedInFuture | Self::LivesTooLong => Check::Times,
            Self::WrongAudience => Check::Audience,
            Self::RequiredClaim(_) => Check::Claims,
            Self::NoClient => Check::Client,
            Self::NoKey => Check::Key,
            Self::BadSignature => Check::Signature,
            Self::MissingScope(_) => Check::Scopes,
            Self::NoPrincipal(_) => Check::Principal,
            Self::RefusedByIssuer => Check::Userinfo,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, KeySource};
    use crate::host::UnixMillis;
    use crate::identity::{Keys, Unverified};
    use crate::jose::testing::{self, encode, signed};
    use serde_json::{Value, json};

    const NOW: UnixMillis = UnixMillis(1_750_000_000_000);

    fn check(token: &str, config: &Config) -> Option<Check> {
        let KeySource::Inline(keys) = &config.issuers[0].keys else { panic!("the keys are inline") };
        let verified = Unverified::parse(token, &config.issuers, NOW)
            .and_then(|it| it.attempt(Keys::Set(keys), NOW)?.verify()?.claims);
        verified.err().map(|error| error.check())
    }

    #[test]
    fn a_token_that_is_wrong_in_every_way_fails_the_checks_in_their_order() {
        let config = json!({"entity": "api:default/x", "policy": {"rules": []}, "issuers": [{
            "issuer": "https://idp.example", "audiences": ["payments"], "algorithms": ["ES256"], "typ": ["at+jwt"],
            "required_claims": {"tenant": "acme"}, "client_required": true, "required_scopes": ["read"],
            "jwks": serde_json::from_str::<Value>(testing::jwks()).unwrap()
        }]});
        let config = Config::parse(config.to_string().as_bytes()).unwrap();
        let mut header = json!({"alg": "RS256", "kid": "nobody", "crit": ["x"], "typ": "other"});
        let mut claims = json!({"exp": 1});
        assert_eq!(check("wrong", &config), Some(Check::Form));
        // What makes each check pass, one after another.
        let (critical, times) = (json!({"crit": null}), json!({"exp": NOW.seconds() + 300}));
        let repairs = [
            (Check::Critical, critical, json!({})),
            (Check::Issuer, json!({}), json!({"iss": "https://idp.example"})),
            (Check::Algorithm, json!({"alg": "ES256"}), json!({})),
            (Check::Type, json!({"typ": "at+jwt"}), json!({})),
            (Check::Times, json!({}), times),
            (Check::Audience, json!({}), json!({"aud": "payments"})),
            (Check::Key, json!({"kid": "es256"}), json!({})),
        ];
        for (expected, headers, members) in repairs {
            let token = format!("{}.{}.AAAA", encode(header.to_string()), encode(claims.to_string()));
            assert_eq!(check(&token, &config), Some(expected));
            for (part, changes) in [(&mut header, headers), (&mut claims, members)] {
                for (name, value) in changes.as_object().unwrap() {
                    match value {
                        Value::Null => drop(part.as_object_mut().unwrap().remove(name)),
                        value => part[name] = value.clone(),
                    }
                }
            }
        }
        let unsigned = format!("{}.{}.AAAA", encode(header.to_string()), encode(claims.to_string()));
        assert_eq!(check(&unsigned, &config), Some(Check::Signature));
        for (expected, name, value) in
            [(Check::Claims, "tenant", "acme"), (Check::Client, "azp", "portal"), (Check::Scopes, "scope", "read")]
        {
            let token = signed("ES256", header.to_string(), claims.to_string());
            assert_eq!(check(&token, &config), Some(expected));
            claims[name] = json!(value);
        }
        assert_eq!(check(&signed("ES256", header.to_string(), claims.to_string()), &config), None);
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(Check::ALL.is_sorted());
    }
}
