//! `backstage-kong generate`: a catalog → Kong's declarative configuration.

mod config;
mod conflicts;
mod consumers;
mod holders;
mod merge;
mod openapi;
mod output;
mod routes;
mod services;
mod template;

use crate::annotations;
use crate::catalog::{Catalog, CatalogArgs};
use crate::finding::{File, Finding, Severity};
use crate::out::{self, Ending};
use anyhow::{Context, bail};
use backstage_kong::config::Consumers;
use clap::Args;
use config::{Configurations, Ownership};
use consumers::Mirror;
use holders::Holders;
use merge::Existing;
use output::Section;
use routes::Routes;
use std::path::{Path, PathBuf};
use template::Template;

/// What to generate, of what, into what.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct GenerateArgs {
    #[command(flatten)]
    catalog: CatalogArgs,
    /// The settings of the filter that all services share, as YAML: issuers, credentials, quotas and so on, without entity,
    /// owner and consumers.
    #[arg(long, value_name = "FILE")]
    template: PathBuf,
    /// Where the filter learns who owns what: `static` writes it out, `live` lets the filter ask Backstage.
    #[arg(long, value_enum, default_value_t = Ownership::Static)]
    ownership: Ownership,
    /// What routes are made of.
    #[arg(long, value_enum, default_value_t = Routes::Prefix)]
    routes: Routes,
    /// Write consumers too: one for each user, with an ACL group for each of its groups.
    #[arg(long)]
    consumers: bool,
    /// Write consumer groups too, for each group; Kong's open source has none and refuses them.
    #[arg(long, requires = "consumers")]
    consumer_groups: bool,
    /// An annotation of groups or users that names roles elsewhere, such as amazonaws.com/role-arn; they become ACL groups too.
    #[arg(long = "role-annotation", value_name = "NAME", requires = "consumers")]
    role_annotations: Vec<String>,
    /// The owners of a consumer's system count as consumers too.
    #[arg(long)]
    system_consumers: bool,
    #[command(flatten)]
    target: Target,
}

/// Where it goes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
struct Target {
    /// Write a file of its own; without this and --into, it goes to standard output.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Merge into a file that has other things too, whose every other byte stays as it is.
    #[arg(long, value_name = "FILE", conflicts_with = "output")]
    into: Option<PathBuf>,
    /// Write nothing; print what would change, and exit with 1 if something would.
    #[arg(long)]
    check: bool,
}

const EXAMPLES: &str = "\
Examples:
  backstage-kong generate --catalog 'catalog/**/*.yaml' --template filter.yaml
  backstage-kong generate --catalog . --template filter.yaml --into kong.yml --check
  BACKSTAGE_TOKEN=… backstage-kong generate --backstage https://backstage.example.com --template filter.yaml \\
      --ownership live --output kong.yml
  backstage-kong generate --catalog . --template filter.yaml --consumers --role-annotation amazonaws.com/role-arn

Exit codes:
  0  done, or with --check: the file is as the catalog has it
  1  the catalog or the template has errors, and nothing was written; or with --check: the file is out of date
  2  not done: wrong usage, or something cannot be read or written";

/// What came of it.
struct Outcome {
    /// What is wrong; with an error among it nothing was written.
    findings: Vec<Finding>,
    /// What goes to standard output.
    printed: String,
    /// Whether all is well: no errors, and nothing out of date.
    is_fine: bool,
}

impl GenerateArgs {
    /// Generates, and says what came of it.
    ///
    /// # Errors
    /// Whatever cannot be read or written.
    pub fn run(&self) -> anyhow::Result<Ending> {
        let outcome = self.generate()?;
        outcome.findings.iter().for_each(|finding| out::note(finding.styled()));
        if !outcome.printed.is_empty() {
            out::print(outcome.printed.trim_end_matches('\n'))?;
        }
        Ok(if outcome.is_fine { Ending::Fine } else { Ending::Findings })
    }

    fn generate(&self) -> anyhow::Result<Outcome> {
        if self.target.check && self.target.into.is_none() && self.target.output.is_none() {
            bail!("--check compares with a file; name it with --into or --output");
        }
        let template = match Template::read(&self.template)? {
            Ok(template) => template,
            Err(finding) => return Ok(failed(vec![finding])),
        };
        let catalog = self.catalog.read(annotations::opts_in)?;
        let before = self.target.before()?;
        let existing = self.target.existing(&before);
        let (sections, findings) = self.sections(&template, &catalog, existing.as_ref(), &before)?;
        if findings.iter().any(|finding| finding.severity == Severity::Error) {
            return Ok(failed(findings));
        }
        let merged = match &existing {
            Some((file, text)) => Existing::read(file, text).and_then(|existing| existing.merge(&sections)),
            None => Ok(merge::whole(&sections)),
        };
        match merged {
            Ok(text) => self.target.put(&text, &before, findings),
            Err(finding) => Ok(failed(vec![finding])),
        }
    }

    fn sections(
        &self,
        template: &Template,
        catalog: &Catalog,
        existing: Option<&(File, String)>,
        before: &str,
    ) -> anyhow::Result<(Vec<Section>, Vec<Finding>)> {
        let mut findings = catalog.findings.clone();
        let system_consumers = self.system_consumers || template.is_on(&["catalog", "system_consumers"]);
        let consumers = template.consumers().unwrap_or_else(|finding| {
            findings.push(finding);
            Consumers::None
        });
        let built = catalog.build(consumers, system_consumers, &template.group_annotations());
        let existing = match existing.map(|(file, text)| Existing::read(file, text)).transpose() {
            Ok(existing) => existing,
            Err(finding) => {
                findings.push(finding);
                None
            }
        };
        findings.extend(catalog.items.values().flat_map(annotations::findings));
        let configurations = Configurations { template, catalog, index: &built.index, ownership: self.ownership };
        findings.extend(configurations.unknown_tiers());
        let file = services::Before { existing: existing.as_ref(), holders: Holders::of(before) };
        let (services, chains) = services::services(&configurations, self.routes, &file, &mut findings);
        let mirror = Mirror {
            catalog,
            index: &built.index,
            parent_groups: template.is_on(&["catalog", "parent_groups"]),
            role_annotations: &self.role_annotations,
            consumer_groups: self.consumer_groups,
        };
        let (consumers, groups) =
            if self.consumers { (mirror.consumers(), mirror.groups()) } else { (Vec::new(), Vec::new()) };
        findings.sort();
        findings.dedup();
        let sections = vec![
            Section::new("services", "name", services)?,
            Section::new("filter_chains", "name", chains)?,
            Section::new("consumer_groups", "name", groups)?,
            Section::new("consumers", "username", consumers)?,
        ];
        Ok((sections, findings))
    }
}

impl Target {
    /// What stands in the file that is written.
    fn before(&self) -> anyhow::Result<String> {
        self.into.as_deref().or(self.output.as_deref()).map_or(Ok(String::new()), read_if_there)
    }

    /// The file to merge into, if something stands in it.
    fn existing(&self, before: &str) -> Option<(File, String)> {
        let path = self.into.as_deref()?;
        let is_blank = crate::yaml::load(before).is_ok_and(|documents| merge::is_blank(&documents));
        (!is_blank).then(|| (File::new(&path.to_string_lossy()), before.to_owned()))
    }

    fn put(&self, text: &str, before: &str, findings: Vec<Finding>) -> anyhow::Result<Outcome> {
        let Some(path) = self.into.as_ref().or(self.output.as_ref()) else {
            return Ok(Outcome { findings, printed: text.to_owned(), is_fine: true });
        };
        if self.check {
            let name = path.to_string_lossy();
            let diff = similar::TextDiff::from_lines(before, text);
            let printed = diff.unified_diff().header(&name, &format!("{name} (as the catalog has it)")).to_string();
            return Ok(Outcome { findings, printed, is_fine: before == text });
        }
        if before != text {
            std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(Outcome { findings, printed: String::new(), is_fine: true })
    }
}

fn read_if_there(path: &Path) -> anyhow::Result<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
    }
}

fn failed(findings: Vec<Finding>) -> Outcome {
    Outcome { findings, printed: String::new(), is_fine: false }
}
