//! What OpenAPI says of where an API is served.

use crate::yaml::Node;
use http::Uri;

/// Where an API is served.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Scheme and host, where they are said.
    pub origin: Option<String>,
    /// The path before its paths, without a `/` at its end.
    pub path: String,
}

/// One path of an API.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ApiPath {
    /// As it is written, such as `/payments/{id}`.
    pub path: String,
    /// The line that it is on.
    pub line: usize,
    /// Methods, in capital letters, sorted.
    pub methods: Vec<String>,
}

const METHODS: [&str; 8] = ["delete", "get", "head", "options", "patch", "post", "put", "trace"];

/// The first server, of OpenAPI 3 or Swagger 2. None where there is none that is a URL or a path.
pub(super) fn server(definition: &Node) -> Option<Server> {
    let url = match definition.get("servers").map(Node::items) {
        Some([server, ..]) => with_defaults(server)?,
        Some([]) => return None,
        None => swagger(definition)?,
    };
    if url.starts_with('/') {
        return Some(Server { origin: None, path: url.trim_end_matches('/').to_owned() });
    }
    let uri: Uri = url.parse().ok()?;
    let origin = format!("{}://{}", uri.scheme_str()?, uri.authority()?);
    Some(Server { origin: Some(origin), path: uri.path().trim_end_matches('/').to_owned() })
}

/// A server's URL with the defaults of its variables.
fn with_defaults(server: &Node) -> Option<String> {
    let mut url = server.get("url")?.text()?.to_owned();
    for variable in server.get("variables").map_or(&[][..], Node::entries) {
        if let Some(default) = variable.value.get("default").and_then(Node::text) {
            url = url.replace(&format!("{{{}}}", variable.key), default);
        }
    }
    Some(url)
}

fn swagger(definition: &Node) -> Option<String> {
    definition.get("swagger")?;
    let text = |name| definition.get(name).and_then(Node::text);
    let path = text("basePath").unwrap_or("/");
    let scheme = definition.get("schemes").and_then(|schemes| schemes.items().first()?.text()).unwrap_or("https");
    Some(text("host").map_or_else(|| path.to_owned(), |host| format!("{scheme}://{host}{path}")))
}

/// Its paths with their methods, sorted.
pub(super) fn paths(definition: &Node) -> Vec<ApiPath> {
    let entries = definition.get("paths").map_or(&[][..], Node::entries);
    let mut paths: Vec<_> = entries
        .iter()
        .filter(|entry| entry.key.starts_with('/'))
        .map(|entry| {
            let methods = METHODS.iter().filter(|method| entry.value.get(method).is_some());
            let methods = methods.map(|method| method.to_ascii_uppercase()).collect();
            ApiPath { path: entry.key.clone(), line: entry.line, methods }
        })
        .filter(|path| !path.methods.is_empty())
        .collect();
    paths.sort_by(|one, other| one.path.cmp(&other.path));
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(text: &str) -> Node {
        crate::yaml::load(text).unwrap().remove(0)
    }

    #[test]
    fn the_first_server_is_where_an_api_is_served() {
        for (text, expected) in [
            ("servers: [{url: 'https://a.example/v1/'}, {url: 'http://b'}]", Some((Some("https://a.example"), "/v1"))),
            ("servers: [{url: 'http://a:8080'}]", Some((Some("http://a:8080"), ""))),
            ("servers: [{url: /v1}]", Some((None, "/v1"))),
            (
                "servers: [{url: 'https://{region}.a.example/{v}', variables: {region: {default: eu}, v: {default: v2}}}]",
                Some((Some("https://eu.a.example"), "/v2")),
            ),
            ("servers: [{url: 'https://{region}.a.example'}]", None),
            ("servers: []", None),
            (
                "swagger: '2.0'\nhost: a.example\nbasePath: /v1\nschemes: [http]",
                Some((Some("http://a.example"), "/v1")),
            ),
            ("swagger: '2.0'\nbasePath: /v1", Some((None, "/v1"))),
            ("openapi: 3.1.0", None),
        ] {
            let server = server(&definition(text));
            let found = server.as_ref().map(|server| (server.origin.as_deref(), server.path.as_str()));
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn paths_come_sorted_with_their_methods() {
        let found = paths(&definition(
            "paths:\n  /b/{id}: {post: {}, get: {}, parameters: []}\n  /a: {get: {}}\n  /none: {summary: x}\n  x-own: {get: {}}\n",
        ));
        let found: Vec<_> = found.iter().map(|path| (path.path.as_str(), path.line, path.methods.join(" "))).collect();
        assert_eq!(found, [("/a", 3, "GET".to_owned()), ("/b/{id}", 2, "GET POST".to_owned())]);
    }
}
