//! A Backstage that answers as Backstage 1.55 does, as far as its catalog's API goes.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    unreachable_pub,
    dead_code,
    reason = "helpers of tests are tests too"
)]

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The token that it takes.
pub const TOKEN: &str = "service-token-of-the-tests";

/// What the catalog does besides answering.
#[derive(Debug, Clone, Copy, Default)]
pub struct Habits {
    pub delay: Duration,
    /// How many questions are answered 503 first.
    pub unavailable: usize,
    pub status: Option<StatusCode>,
    pub page_of_html: bool,
    pub endless: bool,
}

/// A catalog, and what it was asked.
#[derive(Debug)]
pub struct Backstage {
    entities: Vec<Value>,
    habits: Habits,
    pub asked: Mutex<Vec<String>>,
}

/// The address of a catalog that is up until the process ends.
pub fn serve(entities: Vec<Value>, habits: Habits) -> (String, Arc<Backstage>) {
    let backstage = Arc::new(Backstage { entities, habits, asked: Mutex::default() });
    let app = Router::new()
        .route("/api/catalog/entities/by-query", get(by_query))
        .route("/api/catalog/entities/by-refs", post(by_refs))
        .with_state(backstage.clone());
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            axum::serve(tokio::net::TcpListener::from_std(listener).unwrap(), app).await.unwrap();
        });
    });
    (format!("http://{address}"), backstage)
}

async fn refused(backstage: &Backstage, headers: &HeaderMap) -> Option<Response> {
    tokio::time::sleep(backstage.habits.delay).await;
    if let Some(status) = backstage.habits.status {
        return Some(status.into_response());
    }
    if backstage.habits.page_of_html {
        return Some(axum::response::Html("<!doctype html><title>Backstage</title>").into_response());
    }
    if backstage.asked.lock().unwrap().len() <= backstage.habits.unavailable {
        return Some(StatusCode::SERVICE_UNAVAILABLE.into_response());
    }
    let token = headers.get("authorization").and_then(|value| value.to_str().ok());
    match token {
        Some(token) if token == format!("Bearer {TOKEN}") => None,
        Some("Bearer bound-to-another-plugin") => Some(StatusCode::FORBIDDEN.into_response()),
        _ => Some(StatusCode::UNAUTHORIZED.into_response()),
    }
}

async fn by_query(State(backstage): State<Arc<Backstage>>, RawQuery(query): RawQuery, headers: HeaderMap) -> Response {
    let query = query.unwrap_or_default();
    backstage.asked.lock().unwrap().push(query.clone());
    if let Some(refused) = refused(&backstage, &headers).await {
        return refused;
    }
    let parameter = |name: &str| {
        let prefix = format!("{name}=");
        query.split('&').find_map(|part| part.strip_prefix(&prefix).map(str::to_owned))
    };
    // As the real one: without them a page has everything, and 20 entities are a page only for these tests.
    let size: usize = parameter("limit").map_or(20, |limit| limit.parse().unwrap());
    let from: usize = parameter("cursor").map_or(0, |cursor| cursor.parse().unwrap());
    let items = backstage.entities.iter().skip(from).take(size).cloned().map(|mut entity| {
        if parameter("fields").is_some() {
            entity["spec"].as_object_mut().unwrap().remove("definition");
            entity["metadata"].as_object_mut().unwrap().remove("uid");
        }
        entity
    });
    let items: Vec<_> = items.collect();
    let next = (from + size < backstage.entities.len() || backstage.habits.endless)
        .then(|| if backstage.habits.endless { "7".to_owned() } else { (from + size).to_string() });
    Json(json!({"items": items, "totalItems": backstage.entities.len(), "pageInfo": {"nextCursor": next}}))
        .into_response()
}

async fn by_refs(State(backstage): State<Arc<Backstage>>, headers: HeaderMap, Json(body): Json<Value>) -> Response {
    backstage.asked.lock().unwrap().push(format!("by-refs {}", body["entityRefs"]));
    if let Some(refused) = refused(&backstage, &headers).await {
        return refused;
    }
    let of = |reference: &Value| {
        backstage.entities.iter().find(|entity| {
            let kind = entity["kind"].as_str().unwrap().to_ascii_lowercase();
            *reference == format!("{kind}:default/{}", entity["metadata"]["name"].as_str().unwrap())
        })
    };
    let items: Vec<_> = body["entityRefs"].as_array().unwrap().iter().map(of).collect();
    Json(json!({"items": items})).into_response()
}
