//! `backstage-kong check`: what is wrong with configurations of the filter, of Kong, and with annotations in catalogs.

mod bundled;
mod claims;
mod config;
mod indexed;
mod kong;
mod listed;

use crate::annotations;
use crate::catalog::{Catalog, CatalogArgs, Link};
use crate::finding::{File, Finding};
use crate::out::{self, BOLD, Ending};
use crate::yaml::{self, Node};
use anyhow::bail;
use backstage_kong::catalog::Fault;
use claims::Named;
use clap::Args;
use indexed::IndexedCatalog;
use std::path::PathBuf;

/// What to check.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub struct CheckArgs {
    /// Declarative configurations of Kong, and configurations of the filter, as YAML or JSON.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    catalog: CatalogArgs,
    /// Annotations that groups are looked up by, besides the usual ones.
    #[arg(long = "group-annotation", value_name = "NAME")]
    group_annotations: Vec<String>,
    /// Print findings as JSON.
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  backstage-kong check kong.yml
  backstage-kong check filter.json kong.yml --catalog 'catalog/**/*.yaml'
  backstage-kong check --catalog .
  BACKSTAGE_TOKEN=… backstage-kong check kong.yml --backstage https://backstage.example.com --json

Exit codes:
  0  nothing to object to
  1  findings
  2  not done: wrong usage, or something cannot be read";

impl CheckArgs {
    /// Checks, and says what was found.
    ///
    /// # Errors
    /// Whatever cannot be read.
    pub fn run(&self) -> anyhow::Result<Ending> {
        if self.files.is_empty() && !self.catalog.is_given() {
            bail!("nothing to check; name files, or a catalog with --catalog or --backstage");
        }
        let catalog = if self.catalog.is_given() { Some(self.catalog.read(|_| false)?) } else { None };
        let known = catalog.as_ref().map(|catalog| IndexedCatalog::new(catalog, &self.group_annotations));
        let mut files = Vec::with_capacity(self.files.len());
        for path in &self.files {
            files.push((File::new(&path.to_string_lossy()), crate::input::text(path)?));
        }
        let documents: Vec<_> = files.iter().filter_map(|(file, text)| file.load(text).ok()).collect();
        let named = kong::named(documents.iter().filter_map(|documents| documents.first()));
        let mut findings = catalog
            .as_ref()
            .zip(known.as_ref())
            .map(|(catalog, known)| of_catalog(catalog, known, &named))
            .unwrap_or_default();
        findings.extend(files.iter().flat_map(|(file, text)| of_file(file, text, known.as_ref())));
        findings.sort();
        findings.dedup();
        self.print(&findings)?;
        Ok(if findings.is_empty() { Ending::Fine } else { Ending::Findings })
    }

    fn print(&self, findings: &[Finding]) -> anyhow::Result<()> {
        if self.json {
            let json: serde_json::Value = findings.iter().map(Finding::to_json).collect();
            return Ok(out::print(serde_json::to_string_pretty(&json)?)?);
        }
        for finding in findings {
            out::print(finding.styled())?;
        }
        match findings.len() {
            0 => out::note("no findings"),
            1 => out::note(format_args!("{BOLD}1 finding{BOLD:#}")),
            many => out::note(format_args!("{BOLD}{many} findings{BOLD:#}")),
        }
        Ok(())
    }
}

/// What is wrong with a file, by what is in it.
fn of_file(file: &File, text: &str, known: Option<&IndexedCatalog<'_>>) -> Vec<Finding> {
    let documents = match file.load(text) {
        Ok(documents) => documents,
        Err(finding) => return vec![finding],
    };
    let otherwise = yaml::read_otherwise(text).into_iter();
    let mut findings: Vec<_> = otherwise
        .map(|one| Finding::error(file.line(one.line), one.problem).fix("put it in quotes, or write what is meant"))
        .collect();
    findings.extend(match documents.as_slice() {
        [document] if document.get("_format_version").is_some() => kong::findings(file, document, known),
        documents if documents.iter().any(is_entity) => {
            vec![Finding::error(file.line(1), "has entities of a catalog").fix("give it with --catalog")]
        }
        [document] => config::findings(file, document, None, known),
        _ => vec![Finding::error(file.line(1), "has several documents, or none; a configuration is one")],
    });
    findings
}

fn is_entity(document: &Node) -> bool {
    document.get("kind").is_some() && document.get("metadata").is_some()
}

/// What is wrong with a catalog itself.
fn of_catalog(catalog: &Catalog, known: &IndexedCatalog<'_>, named: &Named) -> Vec<Finding> {
    let mut findings = catalog.findings.clone();
    for item in catalog.items.values() {
        findings.extend(annotations::findings(item));
        findings.extend(known.allowed_by_annotations(item));
        findings.extend(IndexedCatalog::writing_consumers(item));
    }
    for relationship in &catalog.relationships {
        if !catalog.items.contains_key(&relationship.to) {
            let message = format!(
                "{} is {} {}, which the catalog does not have",
                relationship.from,
                relationship.link.name(),
                relationship.to
            );
            let finding = match relationship.link {
                // Nobody can be a member of it: who may call, by the catalog, may not in fact.
                Link::OwnedBy => Finding::error(relationship.place.clone(), message),
                _ => Finding::warning(relationship.place.clone(), message),
            };
            findings.push(finding);
        }
    }
    findings.extend(claims::findings(catalog, known, named));
    for fault in &known.faults {
        // The others are told with the annotations and the claims.
        let Fault::GroupId(id, groups) = fault else { continue };
        let annotation = id.split_once('=').map_or(id.as_str(), |(annotation, _)| annotation);
        let places = groups.iter().filter_map(|group| Some(catalog.items.get(group)?.place_of_annotation(annotation)));
        findings.extend(places.map(|place| Finding::error(place, fault.to_string()).fix("leave it to one of them")));
    }
    findings
}
