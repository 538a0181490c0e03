//! Kong's own plugins beside the filter.

use crate::{FINE, begin, config, found};

/// A file of two services: the filter is on the first; what is put in stands on its route, on the service, beside it and on everything.
fn file(on_route: &str, on_service: &str, on_other: &str, on_everything: &str, tags: &str) -> String {
    let config = config(&format!("{FINE}{tags}"));
    format!(
        "_format_version: \"3.0\"
plugins: [{on_everything}]
services:
- name: payments
  host: a
  plugins: [{on_service}]
  filter_chains:
  - filters: [{{name: backstage_kong, config: {config}}}]
  routes:
  - name: payments
    paths: [/payments]
    plugins: [{on_route}]
- name: open
  host: a
  plugins: [{on_other}]
  filter_chains:
  - filters: [{{name: other}}]
  routes: []
"
    )
}

#[test]
fn plugins_that_answer_before_the_filter_or_switch_it_off_are_errors_where_the_filter_is() {
    for (name, expected) in [
        ("proxy-cache", "proxy-cache answers before the filter is asked"),
        ("aws-lambda", "aws-lambda answers before the filter is asked"),
        ("azure-functions", "azure-functions answers before the filter is asked"),
        ("request-termination", "request-termination answers before the filter is asked"),
        ("mocking", "mocking answers before the filter is asked"),
        ("ai-proxy", "ai-proxy buffers the answer"),
        ("ai-request-transformer", "ai-request-transformer buffers the answer"),
        ("ai-response-transformer", "ai-response-transformer buffers the answer"),
    ] {
        let plugin = format!("{{name: {name}}}");
        let plugin = plugin.as_str();
        for (text, place) in [
            (file(plugin, "", "", "", ""), "kong.yml:12: error: services[0].routes[0].plugins[0]"),
            (file("", plugin, "", "", ""), "kong.yml:6: error: services[0].plugins[0]"),
            (file("", "", "", plugin, ""), "kong.yml:2: error: plugins[0]"),
        ] {
            begin(&found("kong.yml", &text, None), &[&format!("{place}: {expected}")]);
        }
        assert_eq!(found("kong.yml", &file("", "", plugin, "", ""), None), [""; 0], "{name} beside the filter");
        let off = format!("{{name: {name}, enabled: false}}");
        assert_eq!(found("kong.yml", &file("", &off, "", "", ""), None), [""; 0], "{name} is off");
    }
    for harmless in
        ["cors", "rate-limiting", "request-transformer", "response-ratelimiting", "prometheus", "ai-prompt-guard"]
    {
        let text = file(&format!("{{name: {harmless}}}"), "", "", "", "");
        assert_eq!(found("kong.yml", &text, None), [""; 0], "{harmless}");
    }
}

#[test]
fn a_plugin_of_a_consumer_can_be_on_any_route() {
    let text = format!("{}consumers:\n- {{username: u, plugins: [{{name: proxy-cache}}]}}\n", file("", "", "", "", ""));
    begin(&found("kong.yml", &text, None), &["kong.yml:20: error: consumers[0].plugins[0]: proxy-cache answers"]);
}

#[test]
fn headers_of_kong_s_authentication_plugins_need_keep() {
    for (tags, warned) in [
        ("", true),
        (", tags: {consumer_headers: strip}", true),
        (", tags: {consumer_headers: set}", true),
        (", tags: {consumer_headers: keep}", false),
    ] {
        for name in ["key-auth", "jwt", "basic-auth", "hmac-auth", "ldap-auth", "oauth2", "session"] {
            let expected = format!(
                "kong.yml:12: warning: services[0].routes[0].plugins[0]: the upstream does not get the consumer that {name} finds"
            );
            let found = found("kong.yml", &file(&format!("{{name: {name}}}"), "", "", "", tags), None);
            begin(
                &found,
                if warned { std::slice::from_ref(&expected) } else { &[] }
                    .iter()
                    .map(String::as_str)
                    .collect::<Vec<_>>()
                    .as_slice(),
            );
        }
    }
}

#[test]
fn a_function_of_a_route_that_hides_the_one_on_everything_is_warned_of() {
    let function = "{name: pre-function, config: {access: [return]}}";
    begin(
        &found("kong.yml", &file(function, "", "", function, ""), None),
        &[
            "kong.yml:12: warning: services[0].routes[0].plugins[0]: a pre-function of a route or a service runs in the place of the one on everything, on line 2",
        ],
    );
    assert_eq!(found("kong.yml", &file(function, "", "", "", ""), None), [""; 0]);
    assert_eq!(found("kong.yml", &file("", "", function, function, ""), None), [""; 0], "beside the filter");
}
