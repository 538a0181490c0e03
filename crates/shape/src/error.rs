//! What is wrong with the shape of a configuration, without the values that it has.

/// A configuration that has not the shape of one. It quotes no value: a secret in the wrong place, or
/// a URL with a password, must not reach the log.
#[derive(Debug)]
pub struct ShapeError {
    /// Where, as in `issuers[0].typ`.
    pub path: String,
    /// What is wrong: an unknown field, a missing one, a value of another type or an unknown word.
    pub message: String,
}

impl ShapeError {
    /// From the path and the message of serde.
    pub(crate) fn new(path: String, message: &str) -> Self {
        // A secret that stands where an entry of `secrets` belongs can be read as the name of a field, as in YAML's `[{abc}]`.
        let of_secret = path.find(".secrets[").filter(|_| message.starts_with("unknown field `"));
        if let Some(end) = of_secret.and_then(|start| Some(start + path.get(start..)?.find(']')? + 1)) {
            let path = path.get(..end).unwrap_or_default().to_owned();
            return Self { path, message: format!("unknown field, expected {}", expected(message)) };
        }
        // An array can stand for an object, its items for the fields in their order: any text can come to stand where a word belongs.
        if message.starts_with("unknown variant `") {
            return Self { path, message: format!("unknown variant, expected {}", expected(message)) };
        }
        for fault in ["invalid type", "invalid value"] {
            if let Some(found) = message.strip_prefix(fault).and_then(|rest| rest.strip_prefix(": ")) {
                return Self { path, message: format!("{fault}: {}, expected {}", kind(found), expected(message)) };
            }
        }
        Self { path, message: message.to_owned() }
    }
}

/// What was found, of ``string "…"`` and ``integer `7` `` the first word.
fn kind(found: &str) -> &str {
    let end = found.find(['"', '`', ',']).unwrap_or(found.len());
    found.get(..end).unwrap_or_default().trim_end()
}

/// What is allowed. It stands last, and what was found before it can hold anything.
fn expected(message: &str) -> &str {
    let (_, expected) = message.rsplit_once(", expected ").unwrap_or_default();
    if expected.starts_with("struct ") { "an object" } else { expected }
}
