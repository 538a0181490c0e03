//! Entities of a Backstage that runs.

use super::{Catalog, Item, derive};
use crate::finding::{Finding, Place};
use crate::web::agent;
use crate::yaml::Node;
use anyhow::{Context, anyhow, bail};
use backstage_kong::entity::{DEFAULT_NAMESPACE, EntityRef};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// Where and how.
pub(super) struct Settings<'a> {
    /// The base URL of the backend.
    pub url: &'a str,
    /// The environment variable with the token.
    pub token_env: &'a str,
    /// Entities a page.
    pub page_size: u16,
    /// How long each answer may take.
    pub timeout: Duration,
}

/// The kinds that matter.
const KINDS: [&str; 7] = ["api", "component", "resource", "system", "domain", "group", "user"];
/// What matters of them. Definitions can be large: they are asked for later, of those few that need it.
const FIELDS: &str = "kind,metadata.name,metadata.namespace,metadata.annotations,spec.lifecycle,spec.type,relations";
/// Entities whose definitions are asked for at once.
const DEFINITIONS: usize = 50;
/// Largest answer, in bytes.
const MAX_ANSWER: u64 = 256 << 20;
/// Most entities.
const MAX_ENTITIES: usize = 1_000_000;
/// How often something is asked that fails in a way that may pass.
const ATTEMPTS: u32 = 3;

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    #[serde(rename = "totalItems")]
    total: Option<u64>,
    #[serde(rename = "pageInfo", default)]
    page: PageInfo,
}

#[derive(Deserialize, Default)]
struct PageInfo {
    #[serde(rename = "nextCursor")]
    next: Option<String>,
}

#[derive(Deserialize)]
struct ByRefs {
    items: Vec<Option<Value>>,
}

/// Reads the catalog, and the definitions of the entities that want them.
pub(super) fn read(settings: &Settings<'_>, wants_definition: impl Fn(&Item) -> bool) -> anyhow::Result<Catalog> {
    let client = Client::new(settings)?;
    let progress = progress();
    let mut catalog = Catalog::default();
    let mut cursor: Option<String> = None;
    loop {
        let page: Page = client.page(settings.page_size, cursor.as_deref())?;
        progress.set_length(page.total.unwrap_or_default());
        let found = page.items.len();
        page.items.into_iter().for_each(|entity| add(&mut catalog, entity));
        progress.set_position(u64::try_from(catalog.items.len()).unwrap_or(u64::MAX));
        match page.page.next {
            None => break,
            // A page that is empty or comes again would never end.
            next if found == 0 || next == cursor => bail!("{} repeats its pages", client.base),
            next => cursor = next,
        }
        if catalog.items.len() > MAX_ENTITIES {
            bail!("{} has more than {MAX_ENTITIES} entities", client.base);
        }
    }
    let wanting: Vec<_> =
        catalog.items.values().filter(|item| wants_definition(item)).map(|item| item.reference.clone()).collect();
    for references in wanting.chunks(DEFINITIONS) {
        let served = client.definitions(references)?;
        for (reference, entity) in references.iter().zip(served.items) {
            let definition = entity.as_ref().and_then(|entity| entity.pointer("/spec/definition")?.as_str());
            if let Some(item) = catalog.items.get_mut(reference) {
                item.served_definition = definition.map(str::to_owned);
            }
        }
    }
    progress.finish_and_clear();
    Ok(catalog)
}

fn add(catalog: &mut Catalog, entity: Value) {
    let name = |pointer| entity.pointer(pointer).and_then(Value::as_str);
    let named = EntityRef::new(
        name("/kind").unwrap_or_default(),
        name("/metadata/namespace").unwrap_or(DEFAULT_NAMESPACE),
        name("/metadata/name").unwrap_or_default(),
    );
    // What has no name that a reference could have has no place in what is to be made of it, nor can it be pointed to.
    let Ok(reference) = named else { return };
    match Item::new(Node::from_json(entity), None) {
        Ok(item) => {
            catalog.relationships.extend(derive::served(&item));
            catalog.items.insert(reference, item);
        }
        Err((_, problem)) => catalog.findings.push(Finding::error(Place::Entity(reference), problem)),
    }
}

/// On standard error, and only where that is a terminal.
fn progress() -> ProgressBar {
    let bar = ProgressBar::no_length();
    if let Ok(style) = ProgressStyle::with_template("reading the catalog {wide_bar} {pos}/{len} entities") {
        bar.set_style(style);
    }
    bar
}

struct Client<'a> {
    agent: ureq::Agent,
    base: &'a str,
    authorization: Option<String>,
    token_env: &'a str,
}

/// What became of a question.
enum Answer {
    Text(String),
    /// A failure that may pass.
    Again(anyhow::Error),
}

impl<'a> Client<'a> {
    fn new(settings: &Settings<'a>) -> anyhow::Result<Self> {
        let base = settings.url.trim_end_matches('/');
        if !base.starts_with("http://") && !base.starts_with("https://") {
            bail!(
                "{base:?} is no http or https URL; give the base URL of a Backstage backend, such as https://backstage.example.com"
            );
        }
        let authorization = match std::env::var(settings.token_env) {
            Ok(token) if token.trim().is_empty() => None,
            Ok(token) => Some(format!("Bearer {}", token.trim())),
            Err(std::env::VarError::NotPresent) => None,
            Err(error) => {
                return Err(error).with_context(|| format!("the token in {} cannot be read", settings.token_env));
            }
        };
        Ok(Self { agent: agent(settings.timeout), base, authorization, token_env: settings.token_env })
    }

    /// `fields` and `limit` go with every page: a cursor does not hold them.
    fn page(&self, size: u16, cursor: Option<&str>) -> anyhow::Result<Page> {
        let url = format!("{}/api/catalog/entities/by-query", self.base);
        self.ask(|| {
            let mut request = self.agent.get(&url).query("fields", FIELDS).query("limit", size.to_string());
            match cursor {
                Some(cursor) => request = request.query("cursor", cursor),
                None => {
                    request =
                        KINDS.iter().fold(request, |request, kind| request.query("filter", format!("kind={kind}")))
                }
            }
            self.authorized(request).call()
        })
    }

    fn definitions(&self, references: &[EntityRef]) -> anyhow::Result<ByRefs> {
        let url = format!("{}/api/catalog/entities/by-refs", self.base);
        let references: Vec<_> = references.iter().map(EntityRef::as_str).collect();
        let body = json!({"entityRefs": references, "fields": ["kind", "metadata.name", "spec.definition"]});
        self.ask(|| self.authorized(self.agent.post(&url)).send_json(&body))
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        let request = request.header("accept", "application/json");
        match &self.authorization {
            Some(authorization) => request.header("authorization", authorization),
            None => request,
        }
    }

    fn ask<T: for<'de> Deserialize<'de>>(
        &self,
        send: impl Fn() -> Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> anyhow::Result<T> {
        let mut attempt = 1;
        loop {
            match self.answer(send())? {
                Answer::Text(text) => {
                    return serde_json::from_str(&text).map_err(|error| {
                        anyhow!("{} answers with something else than a catalog ({error}); is it the backend's base URL, not the frontend's?", self.base)
                    });
                }
                Answer::Again(error) if attempt >= ATTEMPTS => return Err(error),
                Answer::Again(_) => std::thread::sleep(Duration::from_millis(200) * attempt),
            }
            attempt += 1;
        }
    }

    fn answer(&self, sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> anyhow::Result<Answer> {
        let base = self.base;
        let mut response = match sent {
            Ok(response) => response,
            Err(error) => return Ok(Answer::Again(anyhow!("{base} does not answer: {error}"))),
        };
        let status = response.status().as_u16();
        match status {
            200 => {}
            401 => match self.authorization {
                Some(_) => bail!(
                    "{base} does not take the token in {} (401); it must be one of `backend.auth.externalAccess`, such as `type: static`",
                    self.token_env
                ),
                None => bail!(
                    "{base} wants a token (401); put one of `backend.auth.externalAccess` into {}",
                    self.token_env
                ),
            },
            403 => bail!(
                "the token in {} may not read the catalog of {base} (403); its `accessRestrictions` need `plugin: catalog` and \
                 `permission: catalog.entity.read`",
                self.token_env
            ),
            404 => bail!("{base} has no catalog (404); give the base URL of a Backstage backend, without /api"),
            300..=399 => {
                bail!("{base} sends elsewhere ({status}); give the URL of the backend itself, not of a sign-in page")
            }
            429 | 500.. => return Ok(Answer::Again(anyhow!("{base} answers {status}"))),
            _ => bail!("{base} answers {status}"),
        }
        match response.body_mut().with_config().limit(MAX_ANSWER).read_to_string() {
            Ok(text) => Ok(Answer::Text(text)),
            Err(error) => Ok(Answer::Again(anyhow!("{base} does not end its answer: {error}"))),
        }
    }
}
