//! The two kinds of reload. Numbers are those of the facts about Kong's Wasm host.

use std::sync::Arc;

use serde_json::json;
use test_harness::Profile;
use test_harness::lab::http::Base;

use super::support::Probe;
use super::{KONG_YML, Lab, WAIT, lab, tagging};

/// Tags, says what it finds in shared data, puts something there, and counts.
fn remembering() -> Probe {
    let probe = Probe::new();
    let name = probe.text("requests");
    let body = [
        probe.edit("replace", 0, "x-tag", "mine"),
        probe.show_shared("key"),
        probe.set_shared("key", Some("remembered"), "0"),
        format!("(drop (call $define (i32.const 0) {name} (i32.const 64)))"),
        "(drop (call $increment (i32.load (i32.const 64)) (i64.const 1)))".to_owned(),
    ];
    probe.on("proxy_on_request_headers", body.concat())
}

fn counted(lab: &Lab, requests: u32) -> bool {
    lab.gateway.metrics().contains(&format!("requests {requests}\n"))
}

// Fact 40: what `kong reload` and SIGHUP do.
#[tokio::test]
async fn a_reload_takes_effect_with_empty_zones_and_a_faulty_one_does_not() {
    let lab = lab("reload", Profile::Kong, remembering()).await;
    assert_eq!((lab.get("/kept", &[]).await.0, lab.get("/kept", &[]).await.0), (200, 200));
    assert_eq!((lab.said("remembered"), lab.get("/new", &[]).await.0), (1, 404));
    std::fs::write(&lab.kong_yml, KONG_YML.replace("[/kept]", "[/new]").replace("config: one", "config: two")).unwrap();
    assert_eq!(lab.gateway.reload().await.unwrap(), "5 routes; new workers, empty zones, as after `kong reload`");
    let (status, seen) = lab.get("/new", &[]).await;
    assert_eq!((status, &seen["headers"]["x-tag"]), (200, &json!("mine")));
    assert_eq!((lab.said("remembered"), counted(&lab, 3)), (1, true));
    std::fs::write(&lab.kong_yml, KONG_YML.replace("name: probe", "name: stranger")).unwrap();
    let error = format!("{:#}", lab.gateway.reload().await.unwrap_err());
    assert!(error.contains("found \"stranger\"; the filters loaded here: probe"), "{error}");
    assert_eq!((lab.get("/new", &[]).await.0, lab.said("remembered")), (200, 2));
}

// Fact 40: what `POST /config` does.
#[tokio::test]
async fn a_posted_configuration_takes_effect_and_the_zones_stay() {
    let lab = lab("posted", Profile::Kong, remembering()).await;
    assert_eq!(lab.get("/kept", &[]).await.0, 200);
    let post = || async {
        let request = Base::from(lab.gateway.admin).request("POST".parse().unwrap(), "/config");
        let answer = lab.client.send(request, WAIT).await.unwrap();
        (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
    };
    std::fs::write(&lab.kong_yml, KONG_YML.replace("[/kept]", "[/new]").replace("config: one", "config: two")).unwrap();
    assert_eq!(post().await, (201, "5 routes; workers and zones as before, as after `POST /config`\n".to_owned()));
    assert_eq!((lab.get("/new", &[]).await.0, lab.said("remembered"), counted(&lab, 2)), (200, 1, true));
    std::fs::write(&lab.kong_yml, "nonsense").unwrap();
    let (status, text) = post().await;
    assert!(status == 400 && text.contains("posted.yml"), "{status} {text}");
    assert_eq!(lab.get("/new", &[]).await.0, 200);
}

#[tokio::test]
async fn a_reload_on_envoy_keeps_what_is_shared() {
    let lab = lab("reload-envoy", Profile::Envoy, remembering()).await;
    lab.get("/kept", &[]).await;
    assert_eq!(lab.gateway.reload().await.unwrap(), "5 routes; workers and shared data as before");
    lab.get("/kept", &[]).await;
    assert_eq!(lab.said("remembered"), 1);
}

#[tokio::test]
async fn requests_under_way_are_finished_when_kong_reloads() {
    let lab = Arc::new(lab("under-way", Profile::Kong, tagging()).await);
    let slow = Arc::clone(&lab);
    let under_way = tokio::spawn(async move { slow.get("/kept/slow/1000", &[]).await });
    lab.until_said("kept", 1).await;
    lab.gateway.reload().await.unwrap();
    assert_eq!(lab.get("/kept", &[]).await.0, 200);
    lab.until_said("finished", 1).await;
    let (status, seen) = under_way.await.unwrap();
    assert_eq!((status, &seen["headers"]["x-tag"]), (200, &json!("mine")));
    lab.until_said("finished", 2).await;
}
