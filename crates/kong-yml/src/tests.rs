use super::*;

const FILTERS: Filters<'_> = Filters::Loaded(&["backstage_kong"]);

fn read(text: &str) -> KongYml {
    KongYml::parse(text, FILTERS).unwrap().0
}

fn fault(text: &str) -> String {
    KongYml::parse(text, FILTERS).unwrap_err().to_string()
}

fn routed<'a>(config: &'a KongYml, method: &str, host: &str, path: &str) -> Option<(&'a str, usize)> {
    let found = Router::new(config).route(RequestLine { method, host, path })?;
    Some((config.routes[found.route].name.as_str(), found.matched))
}

const NESTED: &str = r#"
_format_version: "3.0"
_transform: true
services:
- name: echo
  url: http://peers:9080/base/
  retries: 5
  filter_chains:
  - filters: [{name: backstage_kong, config: "on the service"}]
  routes:
  - name: payments
    paths: [/payments]
    filter_chains:
    - filters:
      - {name: backstage_kong, config: {entity: "api:default/payments"}}
      - {name: backstage_kong, enabled: false}
    - enabled: false
      filters: [{name: backstage_kong, config: off}]
    plugins: [{name: cors}]
- {name: other, host: peers, port: 81, routes: [{name: regex, paths: ["~/v\\d+/x"], strip_path: false}]}
routes:
- {name: top, service: {name: other}, paths: [/top], methods: [GET]}
filter_chains:
- {route: {name: top}, filters: [{name: backstage_kong, config: chained}]}
plugins:
- {name: backstage_kong, route: top, config: {attached: true}}
"#;

#[test]
fn services_routes_and_chains_are_read_wherever_kong_lets_them_stand() {
    let (config, others) = KongYml::parse(NESTED, FILTERS).unwrap();
    assert_eq!(others, ["cors"]);
    let echo = &config.services[0];
    assert_eq!((echo.host.as_str(), echo.port, echo.path.as_str()), ("peers", 9080, "/base"));
    let configs = |name: &str| {
        let route = config.routes.iter().find(|route| route.name == name).unwrap();
        route.filters.iter().map(|f| String::from_utf8(f.config.clone()).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(configs("payments"), ["on the service", r#"{"entity":"api:default/payments"}"#]);
    assert_eq!(configs("top"), ["chained", r#"{"attached":true}"#]);
    assert!(configs("regex").is_empty());
}

#[test]
fn every_configuration_is_validated_whether_it_is_on_or_not() {
    let config = read(NESTED);
    let found: Vec<_> = config.configurations.iter().map(|c| (c.path.as_str(), c.holder.as_str())).collect();
    assert_eq!(
        found,
        [
            ("services[0].filter_chains[0].filters[0].config", "service \"echo\""),
            ("services[0].routes[0].filter_chains[0].filters[0].config", "route \"payments\""),
            ("services[0].routes[0].filter_chains[0].filters[1].config", "route \"payments\""),
            ("services[0].routes[0].filter_chains[1].filters[0].config", "route \"payments\""),
            ("filter_chains[0].filters[0].config", "route \"top\""),
            ("plugins[0].config", "route \"top\""),
        ]
    );
    let validated = |schema: &str| {
        let schema = Schema::of_metadata(&format!("{{\"config_schema\": {schema}}}")).unwrap();
        config.validate("backstage_kong", &schema).map_err(|error| error.to_string())
    };
    let object = r#"{"type": ["string", "null", "object"], "properties": {"entity": {"type": "string"}}}"#;
    assert_eq!(validated(object), Ok(()));
    let refused =
        |problem: &str, holder: &str| Err(format!("{problem} (the filter's schema refuses this on {holder})"));
    assert_eq!(
        validated(&object.replace("entity", "attached")),
        refused("plugins[0].config.attached: is a boolean; it must be a string", "route \"top\"")
    );
    assert_eq!(
        validated(r#"{"type": ["string", "object"]}"#),
        refused(
            "services[0].routes[0].filter_chains[0].filters[1].config: is null; it must be a string or an object",
            "route \"payments\""
        )
    );
    assert_eq!(config.validate("another", &Schema::without_metadata()), Ok(()));
}

#[test]
fn ids_are_uuids_that_stay_the_same() {
    let (one, two) = (read(NESTED), read(NESTED));
    assert_eq!(one.routes[0].id, two.routes[0].id);
    assert_ne!(one.routes[0].id, one.routes[1].id);
    let regex =
        regex_lite::Regex::new("^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$").unwrap();
    assert!(regex.is_match(&one.routes[0].id), "{}", one.routes[0].id);
}

#[test]
fn anchors_and_aliases_work() {
    let config = read(
        "_format_version: '3.0'\nservices:\n- name: a\n  host: h\n  routes:\n  - {name: one, paths: [/1], filter_chains: [{filters: [{name: backstage_kong, config: &c {x: [1]}}]}]}\n  - {name: two, paths: [/2], filter_chains: [{filters: [{name: backstage_kong, config: *c}]}]}\n",
    );
    assert_eq!(config.routes[0].filters, config.routes[1].filters);
}

#[test]
fn a_fault_names_its_path_and_what_is_allowed() {
    let service = |body: &str| fault(&format!("_format_version: '3.0'\nservices:\n- {body}\n"));
    let route = |body: &str| service(&format!("{{name: a, host: h, routes: [{body}]}}"));
    for (found, expected) in [
        (fault("_format_version: '9.9'"), r#"_format_version: found "9.9"; allowed: "3.0""#),
        (fault("services: []"), "missing field `_format_version`"),
        (service("{name: a}"), "services[0]: needs a `url` or a `host`"),
        (service("{url: 'tcp://x:1'}"), r#"services[0].protocol: found "tcp"; allowed: http or https"#),
        (service("{url: 'nonsense'}"), r#"services[0].url: found "nonsense"; allowed: http://host"#),
        (service("{host: h, port: 99999}"), "services[0].port"),
        (route("{name: r, paths: [x]}"), r#"services[0].routes[0].paths[0]: found "x"; allowed: a prefix"#),
        (route("{name: r, paths: ['~/(']}"), "services[0].routes[0].paths[0]: found \"~/(\", which is no regular"),
        (route("{name: r}"), "services[0].routes[0]: needs at least one of"),
        (route("{name: r, paths: [/]}, {name: r, paths: [/]}"), "services[0].routes[1].name: the name \"r\" is taken"),
        (route("{name: r, paths: 5}"), "services[0].routes[0].paths: invalid type"),
        (
            route("{paths: [/], filter_chains: [{filters: [{name: mine}]}]}"),
            "services[0].routes[0].filter_chains[0].filters[0].name: found \"mine\"; the filters loaded here: backstage_kong",
        ),
        (fault("_format_version: '3.0'\nroutes: [{paths: [/]}]"), "routes[0]: needs a `service`"),
        (fault("_format_version: '3.0'\nroutes: [{paths: [/], service: x}]"), "routes[0].service: found \"x\""),
        (fault("_format_version: '3.0'\nfilter_chains: [{filters: []}]"), "filter_chains[0]: needs either a `route`"),
    ] {
        assert!(found.contains(expected), "{found}\nshould contain\n{expected}");
    }
}

#[test]
fn the_longest_prefix_wins_and_prefixes_are_plain_bytes() {
    let config = read(
        "_format_version: '3.0'\nservices:\n- name: a\n  host: h\n  routes:\n  - {name: short, paths: [/pay]}\n  - {name: long, paths: [/pay/admin, /x]}\n",
    );
    assert_eq!(routed(&config, "GET", "h", "/payments"), Some(("short", 4)));
    assert_eq!(routed(&config, "GET", "h", "/pay/admin/1"), Some(("long", 10)));
    assert_eq!(routed(&config, "GET", "h", "/x"), Some(("long", 2)));
    assert_eq!(routed(&config, "GET", "h", "/other"), None);
}

#[test]
fn more_kinds_of_condition_come_first_then_regular_expressions() {
    let config = read(
        "_format_version: '3.0'\nservices:\n- name: a\n  host: h\n  routes:\n  - {name: prefix, paths: [/a/long/prefix]}\n  - {name: post, paths: [/a], methods: [POST]}\n  - {name: host, paths: [/a], hosts: ['*.example.com', 'api.*', Exact.example]}\n  - {name: regex, paths: ['~/a/\\w+']}\n  - {name: urgent, paths: ['~/a/long'], regex_priority: 5}\n",
    );
    assert_eq!(routed(&config, "POST", "x", "/a/long/prefix"), Some(("post", 2)));
    assert_eq!(routed(&config, "GET", "a.example.com:8000", "/a/b"), Some(("host", 2)));
    assert_eq!(routed(&config, "GET", "api.test", "/a/b"), Some(("host", 2)));
    assert_eq!(routed(&config, "GET", "EXACT.example", "/a/b"), Some(("host", 2)));
    assert_eq!(routed(&config, "GET", "x", "/a/long/prefix"), Some(("urgent", 7)));
    assert_eq!(routed(&config, "GET", "x", "/a/b"), Some(("regex", 4)));
    assert_eq!(routed(&config, "GET", "x", "/z/a/b"), None);
}

#[test]
fn a_chain_may_name_any_filter_where_others_are_let_pass() {
    let text = "_format_version: '3.0'\nservices:\n- {host: h, routes: [{paths: [/], filter_chains: [{filters: [{name: mine}, {name: yours}]}]}]}\n";
    let (config, _) = KongYml::parse(text, Filters::Among(&["mine"])).unwrap();
    assert_eq!(
        config.routes[0].filters.iter().map(|filter| filter.name.as_str()).collect::<Vec<_>>(),
        ["mine", "yours"]
    );
    assert!(fault(text).contains("found \"mine\""));
}

#[test]
fn every_candidate_says_why_it_is_not_the_one() {
    let config = read(
        "_format_version: '3.0'\nservices:\n- name: a\n  host: h\n  routes:\n  - {name: post, paths: [/a], methods: [POST]}\n  - {name: host, paths: [/a], hosts: [api.example]}\n  - {name: long, paths: [/a/b]}\n  - {name: short, paths: [/a, /x]}\n",
    );
    let router = Router::new(&config);
    let weighed = router.weigh(RequestLine { method: "GET", host: "h", path: "/a/1" });
    let told: Vec<_> = weighed.map(|it| (config.routes[it.route].name.as_str(), it.path.unwrap(), it.fit)).collect();
    assert_eq!(
        told,
        [
            ("post", "/a".to_owned(), Fit::Method),
            ("host", "/a".to_owned(), Fit::Host),
            ("long", "/a/b".to_owned(), Fit::Path),
            ("short", "/a".to_owned(), Fit::Fits { matched: 2 }),
            ("short", "/x".to_owned(), Fit::Path),
        ]
    );
}

/// A file with a `request-transformer` where there is a configuration for one: globally, on the service, on its first route and at the
/// top for its second.
fn transformed(global: &str, service: &str, inner: &str, top: &str) -> Result<(KongYml, Vec<String>), KongYmlError> {
    let plugin = |config: &str, more: &str| match config {
        "" => String::new(),
        config => format!("{{name: request-transformer, {more} {config}}}"),
    };
    let (global, service, inner) = (plugin(global, ""), plugin(service, ""), plugin(inner, ""));
    let top = plugin(top, "route: two,");
    let comma = if global.is_empty() || top.is_empty() { "" } else { ", " };
    let text = format!(
        "_format_version: '3.0'\nservices:\n- name: a\n  host: h\n  plugins: [{service}]\n  routes:\n  - {{name: one, paths: [/1], plugins: [{inner}]}}\n  - {{name: two, paths: [/2]}}\nplugins: [{global}{comma}{top}]\n"
    );
    KongYml::parse(&text, FILTERS)
}

fn removes(name: &str) -> String {
    format!("config: {{remove: {{headers: [{name}]}}}}")
}

#[test]
fn the_nearest_request_transformer_says_which_headers_are_removed() {
    let (global, service, route) = (&removes("x-global"), &removes("X-Service, 'x-two:'"), &removes("x-route"));
    let disabled = &format!("enabled: false, {route}");
    for (plugins, one, two) in [
        (["", "", "", ""], &[][..], &[][..]),
        ([global, "", "", ""], &["x-global"], &["x-global"]),
        ([global, service, "", ""], &["x-service", "x-two"], &["x-service", "x-two"]),
        ([global, service, route, ""], &["x-route"], &["x-service", "x-two"]),
        ([global, "", "", route], &["x-global"], &["x-route"]),
        ([global, service, disabled, disabled], &["x-service", "x-two"], &["x-service", "x-two"]),
        // One that removes nothing takes the others' place, too.
        ([global, "", "config: {}", ""], &[], &["x-global"]),
    ] {
        let (config, others) = transformed(plugins[0], plugins[1], plugins[2], plugins[3]).unwrap();
        assert!(others.is_empty(), "{others:?}");
        let removed: Vec<_> = config.routes.iter().map(|route| route.removed_headers.clone()).collect();
        assert_eq!(removed, [one, two], "{plugins:?}");
    }
}

#[test]
fn what_else_a_request_transformer_does_is_reported() {
    for (config, reported) in [
        (
            "config: {http_method: POST, add: {headers: ['a:b']}, remove: {headers: [x], body: [b], querystring: []}}",
            &["request-transformer.add", "request-transformer.http_method", "request-transformer.remove.body"][..],
        ),
        ("consumer: alice, config: {remove: {headers: [x]}}", &["request-transformer of a consumer"]),
        ("consumer_group: gold, config: {remove: {headers: [x]}}", &["request-transformer of a consumer"]),
        ("config: {add: {}, append: null, remove: {headers: [x]}}", &[]),
    ] {
        let (route, others) = transformed("", "", config, "").map(|(mut c, o)| (c.routes.remove(0), o)).unwrap();
        assert_eq!(others, reported, "{config}");
        assert_eq!(route.removed_headers.is_empty(), config.starts_with("consumer"), "{config}");
    }
}

#[test]
fn a_faulty_request_transformer_is_refused() {
    for (config, expected) in [
        ("config: nonsense", "plugins[0].config: invalid type"),
        ("config: {remove: [x]}", "services[0].routes[0].plugins[0].config.remove: invalid type"),
        ("config: {remove: {headers: x}}", "services[0].routes[0].plugins[0].config.remove.headers: invalid type"),
        ("config: {remove: {headers: [5]}}", "services[0].routes[0].plugins[0].config.remove.headers[0]: invalid type"),
        (
            "config: {remove: {headers: ['a b']}}",
            "plugins[0].config.remove.headers[0]: found \"a b\"; allowed: a header's name",
        ),
        (
            "config: {remove: {headers: ['']}}",
            "plugins[0].config.remove.headers[0]: found \"\"; allowed: a header's name",
        ),
        ("config: {removes: {}}", "plugins[0].config: found \"removes\"; allowed: "),
    ] {
        let found = transformed("", "", config, "").unwrap_err().to_string();
        assert!(found.contains(expected), "{found}\nshould contain\n{expected}");
    }
    let twice = format!("{}}}, {{name: request-transformer, {}", removes("a"), removes("b"));
    let found = transformed("", "", &twice, "").unwrap_err().to_string();
    assert!(
        found.contains("services[0].routes[0].plugins[1].name: the name \"request-transformer\" is taken"),
        "{found}"
    );
    let found = transformed("service: a, route: one, config: {}", "", "", "").unwrap_err().to_string();
    assert!(found.contains("plugins[0]: needs either a `route` or a `service`"), "{found}");
}
