//! The definition of an API, as far as a route needs it: where it is served, on which paths.

use super::Item;
use super::files::text_of;
use crate::finding::{File, Finding, Place};
use crate::yaml::Node;
use std::path::Path;

/// A definition that was read: an OpenAPI document, or something else that is YAML or JSON.
#[derive(Debug)]
pub struct Definition {
    /// What it says.
    pub node: Node,
    /// Where that is said.
    pub place: Place,
}

/// The words by which Backstage's `PlaceholderProcessor` puts a file in the place of a value, its own and those of usual modules.
const PLACEHOLDERS: [&str; 5] = ["$text", "$yaml", "$json", "$openapi", "$asyncapi"];

impl Definition {
    /// The definition of an entity: a text, or a file that it names. None where there is none, or it is neither YAML nor JSON.
    pub(super) fn of(item: &Item) -> Result<Option<Self>, Finding> {
        let place = item.place_of(&["spec", "definition"]);
        if let Some(text) = &item.served_definition {
            return parsed(item, text, place);
        }
        let Some(definition) = item.node().at(&["spec", "definition"]) else { return Ok(None) };
        if let Some(text) = definition.value.text() {
            return parsed(item, text, place);
        }
        let file = PLACEHOLDERS.iter().find_map(|word| definition.value.get(word)?.text());
        let (Some(target), Some(from)) = (file, item.file()) else { return Ok(None) };
        if target.contains("://") {
            return Ok(None);
        }
        let path = Path::new(from.name()).parent().unwrap_or(Path::new("")).join(target.trim_start_matches("./"));
        let text = text_of(&path).map_err(|error| Finding::error(place, format!("spec.definition: {error:#}")))?;
        let place = File::new(&path.to_string_lossy()).line(1);
        parsed(item, &text, place)
    }
}

/// GraphQL and gRPC have definitions that are no YAML, and are nothing that routes could be made of.
fn parsed(item: &Item, text: &str, place: Place) -> Result<Option<Definition>, Finding> {
    match crate::yaml::load(text) {
        Ok(documents) => Ok(documents.into_iter().next().map(|node| Definition { node, place })),
        Err(error) if item.is_openapi() => {
            Err(Finding::error(place, format!("spec.definition, line {}: {}", error.line, error.problem)))
        }
        Err(_) => Ok(None),
    }
}
