//! The filter's configuration for an entity.

use super::template::Template;
use crate::catalog::{Catalog, Item};
use crate::finding::Finding;
use crate::kong::config_fault;
use crate::yaml::{Node, line_of};
use backstage_kong::catalog::{CatalogEntry, Index, QUOTA_TIER};
use backstage_kong::config::{AgentAccess, Allow, Config, group_annotation};
use backstage_kong::entity::EntityRef;
use clap::ValueEnum;
use serde_yaml_ng::{Mapping, Value};

/// Where the filter learns who owns and who consumes an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Ownership {
    /// From its configuration: owner, consumers, rules and quotas are written out of the catalog, and reviewed like code.
    Static,
    /// From Backstage, while it runs: the configuration names the entity and, by the template, the catalog.
    Live,
}

/// Makes configurations.
pub(super) struct Configurations<'a> {
    pub template: &'a Template,
    pub catalog: &'a Catalog,
    pub index: &'a Index,
    pub ownership: Ownership,
}

impl Configurations<'_> {
    /// The configuration of an entity, which the filter takes.
    ///
    /// # Errors
    /// What is wrong with the catalog or the template.
    pub(super) fn of(&self, item: &Item) -> Result<Value, Finding> {
        let entry = self.index.entity(&item.reference).ok_or_else(|| {
            Finding::error(item.place(), format!("{} cannot be called", item.reference))
                .fix("annotate an API or a component")
        })?;
        let config = match self.ownership {
            Ownership::Static => self.written_out(item, &entry)?,
            Ownership::Live => self.live(item, &entry)?,
        };
        let config = Value::Mapping(config);
        self.checked(item, &config)?;
        Ok(config)
    }

    fn live(&self, item: &Item, entry: &CatalogEntry) -> Result<Mapping, Finding> {
        let Some(catalog) = self.template.get(&["catalog"]) else {
            let message = "has no `catalog`, where the filter would learn who owns what";
            return Err(Finding::error(self.template.file.line(1), message)
                .fix("add it, or write owners out with --ownership static"));
        };
        let is_fallback = catalog.value.get("on_stale").and_then(Node::text) == Some("static");
        let mut config = Mapping::new();
        config.insert("entity".into(), item.reference.as_str().into());
        if is_fallback {
            self.owners(item, entry, &mut config)?;
        }
        for setting in self.template.node.entries() {
            config.insert(setting.key.as_str().into(), setting.value.to_yaml());
        }
        if let Some(rules) =
            config.get_mut("policy").and_then(|policy| policy.get_mut("rules")).and_then(Value::as_sequence_mut)
        {
            rules.push(rule("catalog", &[], vec!["catalog".into()]));
        }
        Ok(config)
    }

    fn written_out(&self, item: &Item, entry: &CatalogEntry) -> Result<Mapping, Finding> {
        if self.template.is_on(&["catalog", "parent_groups"]) {
            let line = self.template.get(&["catalog", "parent_groups"]).map_or(1, |setting| setting.line);
            let message = "parents of groups count only where the filter has the catalog";
            return Err(
                Finding::error(self.template.file.line(line), message).fix("use --ownership live, or take it out")
            );
        }
        let mut config = Mapping::new();
        config.insert("entity".into(), item.reference.as_str().into());
        self.owners(item, entry, &mut config)?;
        for setting in self.template.node.entries() {
            let value = match setting.key.as_str() {
                "catalog" => continue,
                "policy" => Value::Null,
                "issuers" => self.issuers(setting.value.to_yaml()),
                "quotas" => self.quotas(setting.value.to_yaml(), entry),
                _ => setting.value.to_yaml(),
            };
            config.insert(setting.key.as_str().into(), value);
        }
        config.insert("policy".into(), Value::Mapping(self.policy(entry)));
        Ok(config)
    }

    /// The owner and the consumers. The filter takes one owner; rules name the others, of which the catalog rarely has any.
    fn owners(&self, item: &Item, entry: &CatalogEntry, config: &mut Mapping) -> Result<(), Finding> {
        let Some(owner) = entry.owners.first() else {
            return Err(Finding::error(item.place_of(&["spec", "owner"]), format!("{} has no owner", item.reference))
                .fix("say spec.owner: a group or a user"));
        };
        config.insert("owner".into(), owner.as_str().into());
        if !entry.consumers.is_empty() {
            config.insert("consumers".into(), list(entry.consumers.iter().map(EntityRef::as_str)));
        }
        Ok(())
    }

    /// The template's rules go first, then those of the annotations. Agents may do what both allow.
    fn policy(&self, entry: &CatalogEntry) -> Mapping {
        let mut policy = Mapping::new();
        let own = self.template.get(&["policy"]).map(|policy| policy.value.entries()).unwrap_or_default();
        for setting in own.iter().filter(|setting| setting.key != "rules") {
            policy.insert(setting.key.as_str().into(), setting.value.to_yaml());
        }
        let agents =
            self.template.get(&["policy", "agents"]).and_then(|agents| agents.value.text()).map(AgentAccess::from_name);
        // A word that is none is left for the filter's own parser to refuse.
        let agents = agents.unwrap_or(Some(AgentAccess::Deny));
        if let (Some(most), Some(agents)) = (entry.terms.agents, agents) {
            policy.insert("agents".into(), agent_word(agents.min(most)).into());
        }
        let mut rules: Vec<Value> = self
            .template
            .get(&["policy", "rules"])
            .map(|rules| rules.value.items().iter().map(Node::to_yaml).collect())
            .unwrap_or_default();
        let (read, write) = (words(entry, "GET"), words(entry, "POST"));
        if read == write {
            rules.push(rule("catalog", &[], read));
        } else {
            rules.push(rule("catalog-read", &["GET", "HEAD", "OPTIONS"], read));
            rules.push(rule("catalog-write", &[], write));
        }
        policy.insert("rules".into(), Value::Sequence(rules));
        policy
    }

    /// What directories call groups, written out of the annotations of the catalog's groups.
    fn issuers(&self, mut issuers: Value) -> Value {
        for issuer in issuers.as_sequence_mut().into_iter().flatten() {
            let by_preset = serde_json::to_value(&*issuer).ok().and_then(|issuer| group_annotation(&issuer));
            let Some(members) = issuer.as_mapping_mut() else { continue };
            if let Some(annotation) = by_preset {
                let groups = members.entry("groups".into()).or_insert_with(|| Mapping::new().into());
                groups.as_mapping_mut().map(|groups| groups.insert("annotation".into(), annotation.into()));
            }
            let Some(groups) = members.get_mut("groups").and_then(Value::as_mapping_mut) else { continue };
            let annotation = groups.remove("annotation");
            let Some(annotation) = annotation.as_ref().and_then(Value::as_str) else { continue };
            let mut table = groups.remove("table").and_then(|table| table.as_mapping().cloned()).unwrap_or_default();
            for item in self.catalog.items.values().filter(|item| item.reference.kind() == "group") {
                let Some(id) = item.annotation(annotation) else { continue };
                if self.index.group_by(annotation, id).as_ref() == Some(&item.reference) && !table.contains_key(id) {
                    table.insert(id.into(), item.reference.as_str().into());
                }
            }
            groups.insert("table".into(), Value::Mapping(table));
            // What no group's annotation is means no group, with the catalog too.
            groups.insert("transform".into(), Value::Null);
        }
        issuers
    }

    /// The windows of tiers, in the place of the policies' own: the entity's for all its callers, a group's for that group.
    fn quotas(&self, mut quotas: Value, entry: &CatalogEntry) -> Value {
        let policies = quotas.get_mut("policies").and_then(Value::as_sequence_mut);
        for policy in policies.into_iter().flatten().filter_map(Value::as_mapping_mut) {
            let Some(Value::Mapping(tiers)) = policy.remove("tiers") else { continue };
            if let Some(windows) = entry.terms.quota_tier.as_ref().and_then(|tier| tiers.get(tier)) {
                policy.insert("windows".into(), windows.clone());
            }
            if policy.get("per").and_then(Value::as_str) != Some("group") {
                continue;
            }
            let mut overrides =
                policy.remove("overrides").and_then(|own| own.as_mapping().cloned()).unwrap_or_default();
            for group in callers(entry) {
                let windows = self.index.group_tier(group).and_then(|tier| tiers.get(tier));
                if let Some(windows) = windows.filter(|_| !overrides.contains_key(group.as_str())) {
                    overrides.insert(group.as_str().into(), windows.clone());
                }
            }
            if !overrides.is_empty() {
                policy.insert("overrides".into(), Value::Mapping(overrides));
            }
        }
        quotas
    }

    /// Holds a configuration to the filter's own parser, and to the schema by which Kong judges it first.
    fn checked(&self, item: &Item, config: &Value) -> Result<(), Finding> {
        let json = serde_json::to_value(config).map_err(|error| {
            Finding::error(self.template.file.line(1), format!("is nothing that JSON can say: {error}"))
        })?;
        let parsed = Config::parse(json.to_string().as_bytes());
        let fault = parsed.err().map(|error| (error.path, error.problem.to_string()));
        let Some((path, problem)) = fault.or_else(|| config_fault(&json)) else { return Ok(()) };
        let is_ours = ["entity", "owner", "consumers"].iter().any(|field| path.starts_with(field));
        let place = if is_ours { item.place() } else { self.template.file.line(line_of(&self.template.node, &path)) };
        Err(Finding::error(place, format!("{path}: {problem} (for {})", item.reference)))
    }

    /// Tiers that no policy of the template knows: then the policies' own windows count.
    pub(super) fn unknown_tiers(&self) -> Vec<Finding> {
        let policies =
            self.template.get(&["quotas", "policies"]).map(|policies| policies.value.items()).unwrap_or_default();
        let known: Vec<&str> = policies
            .iter()
            .filter_map(|policy| policy.get("tiers"))
            .flat_map(|tiers| tiers.entries().iter().map(|tier| tier.key.as_str()))
            .collect();
        let unknown = |item: &Item| {
            let tier = item.annotation(QUOTA_TIER).filter(|tier| !known.contains(tier))?;
            let message = format!(
                "{QUOTA_TIER}: no policy of {} has a tier {tier:?}, so it changes nothing",
                self.template.file.name()
            );
            Some(Finding::warning(item.place_of_annotation(QUOTA_TIER), message))
        };
        self.catalog.items.values().filter_map(unknown).collect()
    }
}

/// The groups that requests can be charged to because they let them pass.
fn callers(entry: &CatalogEntry) -> impl Iterator<Item = &EntityRef> {
    let named =
        ["GET", "POST"].into_iter().flat_map(|method| entry.terms.allow(method)).filter_map(|allow| match allow {
            Allow::Entity(entity) => Some(entity),
            _ => None,
        });
    entry.owners.iter().chain(&entry.consumers).chain(named)
}

/// Whom a method is allowed, as a rule says it.
fn words(entry: &CatalogEntry, method: &str) -> Vec<Value> {
    let mut words = Vec::new();
    for allow in entry.terms.allow(method) {
        match allow {
            Allow::Anyone => words.push("anyone".into()),
            Allow::Authenticated => words.push("authenticated".into()),
            Allow::Owner => {
                words.push("owner".into());
                words.extend(entry.owners.iter().skip(1).map(|owner| Value::from(owner.as_str())));
            }
            Allow::Consumer => words.push("consumer".into()),
            Allow::Entity(entity) => words.push(entity.as_str().into()),
            // Annotations have no words for these.
            Allow::Claims(_) | Allow::Catalog => {}
        }
    }
    words
}

fn rule(name: &str, methods: &[&str], allow: Vec<Value>) -> Value {
    let mut rule = Mapping::new();
    rule.insert("name".into(), name.into());
    if !methods.is_empty() {
        rule.insert("methods".into(), list(methods.iter().copied()));
    }
    rule.insert("allow".into(), Value::Sequence(allow));
    Value::Mapping(rule)
}

fn list<'a>(texts: impl Iterator<Item = &'a str>) -> Value {
    Value::Sequence(texts.map(Value::from).collect())
}

fn agent_word(agents: AgentAccess) -> &'static str {
    match agents {
        AgentAccess::Deny => "deny",
        AgentAccess::ReadOnly => "read_only",
        AgentAccess::Allow => "allow",
    }
}
