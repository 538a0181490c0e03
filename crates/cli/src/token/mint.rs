//! Tokens.

use super::MARK;
use crate::{input, out};
use anyhow::{Context, bail};
use clap::Args;
use dev_keys::{SigningKey, encode, signing_input};
use serde_json::{Map, Value, json};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What token to make.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    backstage-kong token mint --key dev-keys/dev-es256-….pem --issuer http://idp.localhost --aud payments --sub ada \\\n      \
    --groups payments,checkout\n  \
    backstage-kong token mint --key key.pem --issuer https://dev.example --sub batch --claim tenant=acme \\\n      \
    --claim 'realm_access={\"roles\":[\"a\"]}' --expires 1h --typ at+jwt")]
pub struct MintArgs {
    /// The private key, PEM: one of `backstage-kong token keys`, or of OpenSSL.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// `iss`.
    #[arg(long, value_name = "URL")]
    issuer: String,
    /// `aud`; several audiences with commas between them.
    #[arg(long, value_name = "AUDIENCES", value_delimiter = ',')]
    aud: Vec<String>,
    /// `sub`.
    #[arg(long, value_name = "SUBJECT")]
    sub: String,
    /// `groups`, with commas between them.
    #[arg(long, value_name = "GROUPS", value_delimiter = ',')]
    groups: Vec<String>,
    /// Any other claim, its value JSON or else a text; it goes before those above.
    #[arg(long = "claim", value_name = "NAME=VALUE")]
    claims: Vec<String>,
    /// How long it holds, such as 90s, 15m or 12h; a minus sign in front makes an expired one.
    #[arg(long, value_name = "TIME", default_value = "15m", allow_hyphen_values = true)]
    expires: String,
    /// `typ` of the header.
    #[arg(long, value_name = "TYPE", default_value = "JWT")]
    typ: String,
    /// `kid` of the header, with `dev-` in front in any case; the key's own thumbprint, unless given.
    #[arg(long, value_name = "KID")]
    kid: Option<String>,
}

/// Makes a token and prints it.
pub(super) fn run(args: &MintArgs) -> anyhow::Result<()> {
    let pem = input::text(&args.key)?;
    let key = SigningKey::from_pem(&pem).with_context(|| args.key.display().to_string())?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let token = token(args, &key, now)?;
    super::warn("this token");
    out::print(token)?;
    Ok(())
}

fn token(args: &MintArgs, key: &SigningKey, now: Duration) -> anyhow::Result<String> {
    let kid = match &args.kid {
        Some(kid) if kid.starts_with("dev-") => kid.clone(),
        Some(kid) => format!("dev-{kid}"),
        None => key.kid(),
    };
    let header = json!({"alg": key.algorithm().name(), "kid": kid, "typ": args.typ});
    let header = header.as_object().cloned().unwrap_or_default();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let span = seconds(&args.expires).with_context(|| {
        format!("--expires: found {:?}; allowed: a number and s, m, h or d, such as 15m", args.expires)
    })?;
    // An expired token was issued before it expired.
    let issued = now.saturating_add(span.min(0));
    let mut claims = Map::new();
    let mut set = |name: &str, value: Value| claims.insert(name.to_owned(), value);
    set("iss", json!(args.issuer));
    set("sub", json!(args.sub));
    match args.aud.as_slice() {
        [] => None,
        [audience] => set("aud", json!(audience)),
        audiences => set("aud", json!(audiences)),
    };
    set("iat", json!(issued));
    set("exp", json!(now.saturating_add(span)));
    set("jti", json!(format!("dev-{:016x}", rand::random::<u64>())));
    if !args.groups.is_empty() {
        set("groups", json!(args.groups));
    }
    for claim in &args.claims {
        let (name, value) = own(claim)?;
        set(&name, value);
    }
    set(MARK, json!(true));
    let input = signing_input(&header, &claims);
    let signature = encode(&key.sign(input.as_bytes())?);
    Ok(format!("{input}.{signature}"))
}

/// Reads `name=value`.
fn own(text: &str) -> anyhow::Result<(String, Value)> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            Ok((name.to_owned(), serde_json::from_str(value).unwrap_or_else(|_| Value::from(value))))
        }
        _ => bail!("--claim: found {text:?}; a claim is NAME=VALUE, such as tenant=acme or admin=true"),
    }
}

/// Reads a span of time.
fn seconds(text: &str) -> Option<i64> {
    let (sign, text) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let number: i64 = number.bytes().all(|b| b.is_ascii_digit()).then(|| number.parse().ok()).flatten()?;
    number.checked_mul(unit)?.checked_mul(sign)
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn args() -> MintArgs {
        MintArgs {
            key: PathBuf::new(),
            issuer: "https://dev.example".into(),
            aud: vec!["payments".into()],
            sub: "ada".into(),
            groups: vec!["payments".into(), "checkout".into()],
            claims: vec!["tenant=acme".into(), "level=3".into(), "realm={\"roles\":[\"a\"]}".into()],
            expires: "15m".into(),
            typ: "at+jwt".into(),
            kid: None,
        }
    }

    fn parts(args: &MintArgs) -> [Value; 2] {
        let key = SigningKey::generate(dev_keys::Algorithm::EdDsa).unwrap();
        let token = token(args, &key, Duration::from_secs(1_000_000)).unwrap();
        let part = |index| {
            let text = token.split('.').nth(index).unwrap();
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
        };
        [part(0), part(1)]
    }

    #[test]
    fn a_token_says_what_was_asked_for_and_that_it_is_for_development() {
        let [header, claims] = parts(&args());
        assert_eq!((&header["alg"], &header["typ"]), (&json!("EdDSA"), &json!("at+jwt")));
        assert!(header["kid"].as_str().unwrap().starts_with("dev-eddsa-"));
        assert_eq!(claims[MARK], json!(true));
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(1_000_000), &json!(1_000_900)));
        assert_eq!((&claims["aud"], &claims["groups"]), (&json!("payments"), &json!(["payments", "checkout"])));
        assert_eq!((&claims["tenant"], &claims["level"]), (&json!("acme"), &json!(3)));
        assert_eq!(claims["realm"], json!({"roles": ["a"]}));
    }

    #[test]
    fn no_argument_takes_the_marks_away() {
        let marked = MintArgs { kid: Some("prod-1".into()), claims: vec![format!("{MARK}=false")], ..args() };
        let [header, claims] = parts(&marked);
        assert_eq!((&header["kid"], &claims[MARK]), (&json!("dev-prod-1"), &json!(true)));
    }

    #[test]
    fn an_expired_token_was_issued_before_it_ended() {
        let [_, claims] = parts(&MintArgs { expires: "-1h".into(), ..args() });
        assert_eq!((&claims["iat"], &claims["exp"]), (&json!(996_400), &json!(996_400)));
        let cases = [("90s", Some(90)), ("2d", Some(172_800)), ("-5m", Some(-300)), ("15", None)];
        for (text, expected) in cases {
            assert_eq!(seconds(text), expected, "{text}");
        }
        for text in ["", "m", "1w", "+1m", "1.5h", "99999999999999999999d"] {
            assert_eq!(seconds(text), None, "{text}");
        }
    }
}
