//! Where the catalog comes from.

use super::{Catalog, files, live};
use anyhow::bail;
use clap::Args;
use std::time::Duration;

/// Where the catalog comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Catalog")]
pub struct CatalogArgs {
    /// Files of the catalog: names, patterns such as 'catalog/**/*.yaml', or folders, whose catalog-info.yaml files are read.
    /// `Location` entities are followed where they name files.
    #[arg(long = "catalog", value_name = "FILES", num_args = 1..)]
    catalog_files: Vec<String>,
    /// The base URL of a Backstage backend, whose catalog is read in place of files.
    #[arg(long, value_name = "URL", conflicts_with = "catalog_files")]
    backstage: Option<String>,
    /// The environment variable that has the token for it: one of `backend.auth.externalAccess` that may read the catalog.
    #[arg(long, value_name = "NAME", default_value = "BACKSTAGE_TOKEN")]
    token_env: String,
    /// Entities that are asked for at once.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u16).range(1..=5000))]
    page_size: u16,
    /// Longest time that each answer may take, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=600))]
    timeout: u16,
}

impl CatalogArgs {
    /// Whether a catalog is named at all.
    pub fn is_given(&self) -> bool {
        !self.catalog_files.is_empty() || self.backstage.is_some()
    }

    /// Reads it. The definitions of the entities that `wants_definition` says are fetched too.
    ///
    /// # Errors
    /// Whatever keeps it from being read: files, the network, a token that is not taken.
    pub fn read(&self, wants_definition: impl Fn(&super::Item) -> bool) -> anyhow::Result<Catalog> {
        match &self.backstage {
            Some(url) => {
                let timeout = Duration::from_secs(self.timeout.into());
                let settings = live::Settings { url, token_env: &self.token_env, page_size: self.page_size, timeout };
                live::read(&settings, wants_definition)
            }
            None if self.catalog_files.is_empty() => {
                bail!("no catalog is given; name its files with --catalog, or --backstage URL")
            }
            None => files::read(&self.catalog_files),
        }
    }
}
