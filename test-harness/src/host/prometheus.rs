//! Metrics as text.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use regex_lite::Regex;

use super::{Metric, Profile};

/// One entry of `metrics.label_patterns` in a filter's metadata: how Kong finds a label in a metric's name.
#[derive(Clone, Debug)]
pub struct LabelPattern {
    label: String,
    pattern: Regex,
}

impl LabelPattern {
    /// A label and its pattern, whose first capture is the whole marker in the name and whose second is the value.
    ///
    /// # Errors
    /// When the pattern is not a regular expression or has fewer than two captures.
    pub fn new(label: impl Into<String>, pattern: &str) -> anyhow::Result<Self> {
        let pattern = Regex::new(pattern)?;
        anyhow::ensure!(pattern.captures_len() > 2, "a label pattern needs two captures: {pattern}");
        Ok(Self { label: label.into(), pattern })
    }

    /// The patterns in a filter's metadata, the text of `<filter>.meta.json`. None is an empty list.
    ///
    /// # Errors
    /// When the text is not JSON or a pattern is not one.
    pub fn from_metadata(json: &str) -> anyhow::Result<Vec<Self>> {
        let metadata: serde_json::Value = serde_json::from_str(json)?;
        let patterns = metadata.pointer("/metrics/label_patterns").and_then(serde_json::Value::as_array);
        let text = |entry: &serde_json::Value, key: &str| {
            entry.get(key).and_then(serde_json::Value::as_str).unwrap_or_default().to_owned()
        };
        patterns.into_iter().flatten().map(|entry| Self::new(text(entry, "label"), &text(entry, "pattern"))).collect()
    }
}

type Labels = Vec<(String, String)>;

/// The exposition of a node's metrics. Kong's fails as a whole when it cannot read a filter's name: then it is empty here.
pub(crate) fn text(profile: Profile, metrics: &BTreeMap<String, Metric>, patterns: &[LabelPattern]) -> String {
    if profile.is_kong() && metrics.keys().any(|key| filter_of(key).is_none()) {
        return String::new();
    }
    let mut families: BTreeMap<String, Vec<(Labels, &Metric)>> = BTreeMap::new();
    for (key, metric) in metrics {
        let (name, labels) = match profile {
            Profile::Kong => split_labels(key, patterns),
            Profile::Envoy => (key.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "_"), Vec::new()),
        };
        families.entry(name).or_default().push((labels, metric));
    }
    let mut out = String::new();
    for (name, series) in &families {
        family(&mut out, profile, name, series);
    }
    out
}

/// The filter's name in a stored name, of letters, digits, underscores and dots: Kong's Lua reckons with no others.
fn filter_of(key: &str) -> Option<&str> {
    let (filter, _) = key.strip_prefix("pw:")?.split_once(':')?;
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    (!filter.is_empty() && filter.chars().all(known)).then_some(filter)
}

/// Kong's way to a name and its labels. Each pattern goes on searching where the one before it ended, so patterns have
/// to be listed in the order of their markers; colons become underscores; nothing else is cleaned.
fn split_labels(key: &str, patterns: &[LabelPattern]) -> (String, Labels) {
    let mut labels = Vec::new();
    let mut name_end = key.len();
    let mut from = 0;
    for LabelPattern { label, pattern } in patterns {
        let Some(found) = pattern.captures_at(key, from) else { continue };
        let (Some(whole), Some(marker), Some(value)) = (found.get(0), found.get(1), found.get(2)) else { continue };
        from = whole.end();
        name_end = name_end.min(whole.end().saturating_sub(marker.len()));
        labels.push((label.clone(), value.as_str().to_owned()));
    }
    (key.get(..name_end).unwrap_or(key).replace(':', "_"), labels)
}

/// Values are not escaped, as on Kong.
fn braces(labels: &[(String, String)], more: Option<(&str, &str)>) -> String {
    let mut all: Vec<String> = labels.iter().map(|(label, value)| format!("{label}=\"{value}\"")).collect();
    all.extend(more.map(|(label, value)| format!("{label}=\"{value}\"")));
    if all.is_empty() { String::new() } else { format!("{{{}}}", all.join(",")) }
}

fn family(out: &mut String, profile: Profile, name: &str, series: &[(Labels, &Metric)]) {
    let kind = match series.first() {
        Some((_, Metric::Counter(_))) => "counter",
        Some((_, Metric::Gauge(_))) => "gauge",
        Some((_, Metric::Histogram { .. })) => "histogram",
        None => return,
    };
    // Kong's plugin leaves `_bucket` out and puts sums and counts after all bins.
    let bucket = if profile.is_kong() { "" } else { "_bucket" };
    let mut totals = String::new();
    // Writing to a string cannot fail.
    let _ = writeln!(out, "# HELP {name}\n# TYPE {name} {kind}");
    for (labels, metric) in series {
        let own = braces(labels, None);
        match metric {
            Metric::Counter(value) | Metric::Gauge(value) => {
                let _ = writeln!(out, "{name}{own} {value}");
            }
            Metric::Histogram { sum, bins } => {
                let mut count = 0;
                for bin in bins {
                    count += bin.count;
                    let bound =
                        if bin.upper_bound == u32::MAX { "+Inf".to_owned() } else { bin.upper_bound.to_string() };
                    let _ = writeln!(out, "{name}{bucket}{} {count}", braces(labels, Some(("le", &bound))));
                }
                let _ = writeln!(totals, "{name}_sum{own} {sum}\n{name}_count{own} {count}");
            }
        }
    }
    out.push_str(&totals);
}
