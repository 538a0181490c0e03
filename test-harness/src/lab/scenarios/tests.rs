use super::*;
use crate::host::Profile;
use crate::lab::http::{Base, Incoming, header_map};
use crate::lab::peers::{DEFAULT_ISSUER, Peers};
use crate::lab::resolve::Resolve;
use serde_json::{Value, json};

fn faults(expected: Value, status: u16, headers: &[(&str, &str)], body: Value) -> Vec<String> {
    let expected: Expected = serde_json::from_value(expected).unwrap();
    let headers = header_map(headers.iter().map(|(name, value)| (*name, value.as_bytes()))).unwrap();
    expected.faults(&Incoming { status, headers, body: body.to_string().into() })
}

#[test]
fn the_table_is_sound_and_its_names_are_unique() {
    let groups = parse(TABLE).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for group in &groups {
        for scenario in &group.scenarios {
            assert!(seen.insert((group.group.clone(), scenario.name.clone())), "{}: {}", group.group, scenario.name);
        }
    }
    assert!(seen.len() > 100, "{}", seen.len());
}

#[test]
fn every_path_of_the_table_has_a_route() {
    let text = include_str!("../../../../kong/kong.yml");
    let (config, _) = kong_yml::KongYml::parse(text, kong_yml::Filters::Loaded(&["backstage_kong"])).unwrap();
    let router = kong_yml::Router::new(&config);
    for scenario in parse(TABLE).unwrap().iter().flat_map(|group| &group.scenarios) {
        for request in scenario.steps().iter().filter_map(|step| step.request.as_ref()) {
            let path = request.path.split('?').next().unwrap().trim_start_matches('/');
            let path = format!("/{path}");
            let line = kong_yml::RequestLine { method: "GET", host: "x", path: &path };
            assert!(router.route(line).is_some(), "{}", request.path);
        }
    }
}

#[test]
fn a_faulty_table_says_where() {
    for (text, expected) in [
        ("- {group: a}", "missing field `scenarios`"),
        ("- {group: a, scenarios: [{name: x, request: {path: /, verb: GET}}]}", "unknown field `verb`"),
        ("- {group: a, scenarios: [{name: x, request: {path: /}}]}", "x: needs either"),
        ("- {group: a, scenarios: [{name: x, request: {path: /}, expect: {headers: {a: {equals: b}}}}]}", "equals"),
        ("- {group: a, scenarios: [{name: x, steps: [{expect: {}}]}]}", "x: needs either"),
    ] {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_answer_is_checked_in_every_respect() {
    let echo = json!({"path": "/a", "headers": {"x-a": "1"}});
    assert!(
        faults(json!({"upstream": {"x-a": "1", "x-b": null}, "upstream_path": "/a"}), 200, &[], echo.clone())
            .is_empty()
    );
    assert_eq!(faults(json!({}), 401, &[], json!({})), ["status: expected 200, found 401"]);
    assert_eq!(faults(json!({"status": [400, 403]}), 401, &[], json!({})), ["status: expected 400 or 403, found 401"]);
    assert_eq!(
        faults(json!({"upstream": {"x-a": null}}), 200, &[], echo),
        ["upstream header x-a: expected nothing, found \"1\""]
    );
    assert_eq!(
        faults(json!({"upstream": {"x-a": null}}), 200, &[], json!({})),
        ["the request did not reach the upstream"]
    );
    assert_eq!(
        faults(
            json!({"status": 401, "reason": "no"}),
            401,
            &[("content-type", "text/plain")],
            json!({"reason": "yes"})
        ),
        [
            "header content-type: expected something with \"application/problem+json\", found \"text/plain\"",
            "/reason: expected \"no\", found \"yes\"",
        ]
    );
    let headers = [("a", "1"), ("a", "2")];
    assert!(faults(json!({"headers": {"a": "1, 2", "b": null}}), 200, &headers, json!({})).is_empty());
    assert_eq!(
        faults(json!({"headers": {"a": {"lacks": "2"}, "b": {"present": true}}}), 200, &headers, json!({})).len(),
        2
    );
    assert_eq!(faults(json!({"headers": {"a": {"matches": "^2"}}}), 200, &headers, json!({})).len(), 1);
}

#[tokio::test]
async fn the_runner_tells_what_passes_from_what_fails() {
    // The sample upstream stands in for a gateway that lets everything pass.
    let peers = Peers::start("127.0.0.1:0", "127.0.0.1:0", DEFAULT_ISSUER).await.unwrap();
    let target = Target::new(Base::from(peers.upstream), Base::from(peers.idp), Resolve::default(), Profile::Kong);
    let table = r#"
- group: one
  scenarios:
  - {name: passes, request: {path: "//a/../{run}", token: payments-dev}, expect: {upstream: {authorization: {matches: "^Bearer ey"}}, upstream_path: {matches: "^//a/../[0-9a-f]{8}$"}}}
  - name: fails at the second step
    steps:
    - {request: {path: /}, expect: {}}
    - {provider: {rotate: true}, request: {path: /status/403}, expect: {}, repeat: 2}
  - name: is not told when to try again
    steps: [{request: {path: /}, expect: {}}, {wait_retry_after: true, request: {path: /}, expect: {}}]
- group: two
  scenarios: [{name: token cannot be made, request: {path: /, token: {forge: nonsense}}, expect: {}}]
"#;
    let groups = parse(table).unwrap();
    let mut seen = 0;
    let outcomes = target.run(&groups, None, |_| seen += 1).await;
    assert_eq!(seen, 4);
    assert_eq!(outcomes[0].faults, [""; 0]);
    assert_eq!(outcomes[1].faults, ["step 2: status: expected 200, found 403", "step 2: (request 1 of 2)"]);
    assert_eq!(outcomes[2].faults, ["step 2: retry-after: expected up to 15 seconds, found None"]);
    assert!(outcomes[3].faults[0].starts_with("identity provider answered 422"), "{:?}", outcomes[3].faults);
    assert_eq!(closing_line(&outcomes), "scenarios: 1 passed, 3 failed");
    assert_eq!(target.run(&groups, Some("two"), |_| ()).await.len(), 1);
}
