//! The arguments of `explain`, and what they ask for.

use super::{AsIf, Assumptions, Calls, Gateway, Network, Offline, Request, Site, WithCatalog, table};
use crate::catalog::CatalogArgs;
use crate::input;
use crate::out::{self, Ending};
use anyhow::{Context, bail};
use backstage_kong::host::UnixMillis;
use backstage_kong::http::{Call, Endpoint};
use backstage_kong::jose::{KeySet, MAX_KEY_SET_BYTES};
use chrono::DateTime;
use clap::Args;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a key set that is named by a URL may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What to explain.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// The configuration of the filter, JSON or YAML.
    #[arg(long, value_name = "FILE", required_unless_present = "against", conflicts_with = "against")]
    config: Option<PathBuf>,
    /// Kong's declarative file: the route is found first.
    #[arg(long, value_name = "KONG_YML")]
    against: Option<PathBuf>,
    /// The filter's name in it.
    #[arg(long, value_name = "NAME", default_value = "backstage_kong")]
    filter: String,
    /// Method and path, such as "GET /payments/42"; a path alone is a GET.
    #[arg(long, short = 'r', value_name = "REQUEST")]
    request: String,
    /// The host that is asked.
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    host: String,
    /// A header, as `name: value`; may be given several times.
    #[arg(long = "header", short = 'H', value_name = "HEADER")]
    headers: Vec<String>,
    /// The token. Other users of the machine can read it; --token-file is better.
    #[arg(long, value_name = "TOKEN", group = "who")]
    token: Option<String>,
    /// A file with the token, `-` for standard input.
    #[arg(long, value_name = "FILE", group = "who")]
    token_file: Option<PathBuf>,
    /// Claims, as if a token with them had verified: JSON, or a file with it.
    #[arg(long, value_name = "CLAIMS", group = "who")]
    claims: Option<String>,
    /// Keys of issuers whose keys a provider serves: a file with a JWK set, or its URL.
    #[arg(long, value_name = "FILE|URL")]
    jwks: Option<String>,
    /// Ask no other server: not for keys, not for groups, not for the catalog.
    #[arg(long)]
    offline: bool,
    /// The time of the request (RFC 3339), such as 2026-01-31T12:00:00Z; now, unless given.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// How often the same request came before, at the same time: its quotas are used up by so much.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=100_000))]
    used: u32,
    /// The name of the Kong service, by which the catalog finds the entity; with --config.
    #[arg(long, value_name = "NAME", conflicts_with = "against")]
    service: Option<String>,
    /// The name of the Kong route, for the log; with --config.
    #[arg(long, value_name = "NAME", conflicts_with = "against")]
    route: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    catalog: CatalogArgs,
}

const EXAMPLES: &str = "\
Examples:
  # May this token do that?
  backstage-kong explain --config payments.json --token-file token.txt \\
      --request 'POST /payments/42'

  # Which route is it, and may somebody with these claims?
  backstage-kong explain --against kong.yml -r /payments/42 \\
      --claims '{\"sub\":\"ada\",\"groups\":[\"checkout\"]}'

  # By the catalog in these files, in place of the configured Backstage.
  backstage-kong explain --against kong.yml --catalog 'catalog/**/*.yaml' \\
      --claims claims.json -r /payments/42

  # The 601st request at a time, with keys from a file, as JSON.
  backstage-kong explain --config payments.yaml --jwks jwks.json \\
      --token-file - --used 600 --json -r /payments/42

Exit codes:
  0  the request would pass
  1  it would be denied
  2  wrong usage, or input that cannot be read";

/// Explains a request.
///
/// # Errors
/// What is wrong with the arguments, or with what they name.
pub fn run(args: &ExplainArgs) -> anyhow::Result<Ending> {
    let now = args.at.as_deref().map_or_else(|| Ok(now()), at)?;
    let mut calls: Box<dyn Calls> = if args.offline { Box::new(Offline) } else { Box::new(Network) };
    let assumptions = args.assumptions(calls.as_mut())?;
    if args.catalog.is_given() {
        let catalog = args.catalog.read(|_| false)?;
        catalog.findings.iter().for_each(out::note);
        calls = Box::new(WithCatalog::new(catalog.entities(), calls));
    }
    let gateway = args.gateway(assumptions)?;
    let (request, token) = (args.request()?, args.token()?);
    for _ in 0..args.used {
        gateway.explain(&request, token.as_deref(), now, calls.as_mut());
    }
    let explanation = gateway.explain(&request, token.as_deref(), now, calls.as_mut());
    match args.json {
        true => out::print(serde_json::to_string_pretty(&explanation)?)?,
        false => out::print(table(&explanation))?,
    }
    Ok(if explanation.verdict.passes { Ending::Fine } else { Ending::Findings })
}

impl ExplainArgs {
    fn gateway(&self, assumptions: Assumptions) -> anyhow::Result<Gateway> {
        if let Some(path) = &self.against {
            return Gateway::of_kong(&input::text(path)?, &self.filter, assumptions)
                .with_context(|| path.display().to_string());
        }
        let Some(path) = &self.config else { bail!("name a configuration with --config, or --against kong.yml") };
        let config = input::value(path, &input::text(path)?)?.to_string();
        let site = Site { route: self.route.clone(), service: self.service.clone(), ..Site::default() };
        Gateway::of_config(config.as_bytes(), site, assumptions).with_context(|| path.display().to_string())
    }

    fn request(&self) -> anyhow::Result<Request> {
        let (method, target) = Request::parse(&self.request).context("--request")?;
        let headers = self.headers.iter().map(|header| Request::parse_header(header).context("--header"));
        Ok(Request { method, target, host: self.host.clone(), headers: headers.collect::<anyhow::Result<_>>()? })
    }

    fn token(&self) -> anyhow::Result<Option<String>> {
        let text = match (&self.token, &self.token_file) {
            (Some(token), _) => token.clone(),
            (None, Some(path)) => input::text(path)?,
            (None, None) => return Ok(None),
        };
        Ok(Some(text.trim().to_owned()))
    }

    fn assumptions(&self, calls: &mut dyn Calls) -> anyhow::Result<Assumptions> {
        let keys = self.jwks.as_deref().map(|place| keys(place, calls).with_context(|| format!("--jwks {place}")));
        let claims = self.claims.as_deref().map(|text| claims(text).and_then(AsIf::new).context("--claims"));
        let catalog = self.catalog.is_given();
        Ok(Assumptions { keys: keys.transpose()?, claims: claims.transpose()?, catalog })
    }
}

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMillis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

fn at(text: &str) -> anyhow::Result<UnixMillis> {
    let time = DateTime::parse_from_rfc3339(text)
        .with_context(|| format!("--at: found {text:?}; allowed: a time of RFC 3339, such as 2026-01-31T12:00:00Z"))?;
    u64::try_from(time.timestamp_millis()).map(UnixMillis).context("--at: the time is before 1970")
}

fn keys(place: &str, calls: &mut dyn Calls) -> anyhow::Result<KeySet> {
    let text = match Endpoint::parse(place, None) {
        Some(to) => {
            let call = Call { to, authorization: None, timeout: PATIENCE, limit: MAX_KEY_SET_BYTES };
            let reply = calls.call(&call).map_err(anyhow::Error::msg)?;
            reply.ok().with_context(|| format!("the answer has status {}", reply.status))?.to_vec()
        }
        None => input::text(Path::new(place))?.into_bytes(),
    };
    let keys = KeySet::parse(&text)?;
    if let Some(skipped) = keys.skipped().first().filter(|_| keys.is_empty()) {
        bail!("no key can be used: {skipped}");
    }
    if keys.is_empty() {
        bail!("has no key");
    }
    Ok(keys)
}

/// Claims as they stand, or in a file.
fn claims(text: &str) -> anyhow::Result<Map<String, Value>> {
    let value = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).context("is not JSON")?
    } else {
        input::value(Path::new(text), &input::text(Path::new(text))?)?
    };
    match value {
        Value::Object(claims) => Ok(claims),
        other => bail!("found {other}; claims are a JSON object"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_date_and_a_zone() {
        assert_eq!(at("1970-01-01T00:00:01.5+00:00").unwrap(), UnixMillis(1_500));
        for text in ["now", "2026-01-31", "1969-12-31T23:59:59Z"] {
            assert!(at(text).unwrap_err().to_string().starts_with("--at"), "{text}");
        }
    }

    #[test]
    fn claims_are_an_object_as_they_stand_or_in_a_file() {
        assert_eq!(claims(" {\"sub\": \"ada\"}").unwrap().len(), 1);
        for (text, expected) in [("{", "is not JSON"), ("no-such-file.json", "cannot read no-such-file.json")] {
            let error = format!("{:#}", claims(text).unwrap_err());
            assert!(error.contains(expected), "{error}");
        }
    }
}
