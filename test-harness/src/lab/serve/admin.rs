//! `/metrics`, `/status`, and `POST /config`.

use super::{Running, Shared};
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub(super) async fn listen(listener: TcpListener, shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let router = Router::new()
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/config", post(config))
        .with_state(shared);
    tokio::select! {
        // It ends with an error only when accepting does, and then there is nobody to tell.
        _ = axum::serve(listener, router).into_future() => {}
        _ = stop.changed() => {}
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], shared.metrics_text())
}

async fn status(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let Running { node, plan, pool } = shared.running();
    let route = |route: &kong_yml::Route| {
        json!({"name": route.name, "paths": route.paths, "service": plan.service(route).map(|service| &service.name),
               "filters": route.filters.iter().map(|filter| &filter.name).collect::<Vec<_>>()})
    };
    let routes: Vec<Value> = plan.config.routes.iter().map(route).collect();
    let profile = if node.profile().is_kong() { "kong" } else { "envoy" };
    Json(json!({"filter": shared.settings.filter.name(), "profile": profile, "workers": pool.len(), "routes": routes}))
}

/// Kong's Admin API takes the configuration from the body; here the file is read again.
async fn config(State(shared): State<Arc<Shared>>) -> (StatusCode, String) {
    match shared.post_config().await {
        Ok(done) => (StatusCode::CREATED, format!("{done}\n")),
        Err(error) => (StatusCode::BAD_REQUEST, format!("{error:#}\n")),
    }
}
