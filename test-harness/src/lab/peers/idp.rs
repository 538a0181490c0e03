//! The development identity provider.
//!
//! Anyone may ask it for any token. It is for a laptop and for tests.

use super::control::{Control, KeySetBehaviour};
use super::keys::{KeyError, SigningKeys};
use super::personas::{PERSONAS, Persona};
use super::token::{Mint, TokenSpec};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The provider's state, shared by its handlers.
#[derive(Debug, Clone)]
pub struct Idp {
    issuer: Arc<str>,
    state: Arc<Mutex<IdpState>>,
}

#[derive(Debug)]
struct IdpState {
    keys: SigningKeys,
    /// Public keys of before a rotation that are still published.
    kept: Vec<Value>,
    behaviour: KeySetBehaviour,
    key_set_requests: u64,
}

impl Idp {
    /// A provider whose tokens carry `issuer`, whatever address it listens on.
    ///
    /// # Errors
    /// When its keys cannot be made.
    pub fn new(issuer: &str) -> Result<Self, KeyError> {
        let state = IdpState {
            keys: SigningKeys::generate()?,
            kept: Vec::new(),
            behaviour: KeySetBehaviour::Ok,
            key_set_requests: 0,
        };
        Ok(Self { issuer: issuer.into(), state: Arc::new(Mutex::new(state)) })
    }

    /// The routes.
    pub fn router(self) -> Router {
        Router::new()
            .route("/", get(help))
            .route("/users", get(users))
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks.json", get(key_set))
            .route("/token/{user}", get(token_for))
            .route("/token", post(token))
            .route("/control", get(status).post(control))
            .with_state(self)
    }

    /// Makes a token.
    ///
    /// # Errors
    /// When a key cannot be made or does not sign.
    pub fn token(&self, spec: &TokenSpec) -> Result<String, KeyError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let state = self.state();
        Mint { issuer: &self.issuer, keys: &state.keys, now }.token(spec)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, IdpState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn status(&self) -> Value {
        let state = self.state();
        let kids: Vec<_> = state.keys.public().iter().filter_map(|key| key.get("kid").cloned()).collect();
        json!({"key_set": state.behaviour, "key_set_requests": state.key_set_requests, "kids": kids})
    }
}

async fn help(State(idp): State<Idp>) -> String {
    let mut text = format!(
        "Development identity provider, issuer {}. It gives any token to anyone.\n\n\
         GET  /token/<user>?audience=&expires_in_seconds=&key=&forge=   a token as plain text\n\
         POST /token     {{\"user\":\"payments-dev\",\"claims\":{{\"tenant\":\"acme\"}},\"forge\":\"unsigned\"}}\n\
         POST /control   {{\"rotate\":true,\"keep_old\":true,\"key_set\":\"ok|empty|fail|garbage|hang\"}}\n\
         GET  /users  /jwks.json  /.well-known/openid-configuration\n\n",
        idp.issuer
    );
    for persona in PERSONAS {
        text.push_str(&format!("{:<16}{}\n", persona.name, persona.about));
    }
    text
}

async fn users() -> Json<Value> {
    Json(PERSONAS.iter().map(Persona::to_json).collect())
}

async fn discovery(State(idp): State<Idp>) -> Json<Value> {
    let issuer = &idp.issuer;
    Json(json!({
        "issuer": **issuer,
        "jwks_uri": format!("{issuer}/jwks.json"),
        "token_endpoint": format!("{issuer}/token"),
        "response_types_supported": ["token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA"],
    }))
}

async fn key_set(State(idp): State<Idp>) -> Response {
    let (behaviour, keys) = {
        let mut state = idp.state();
        state.key_set_requests += 1;
        let mut keys = state.keys.public();
        keys.extend(state.kept.iter().cloned());
        (state.behaviour, keys)
    };
    match behaviour {
        KeySetBehaviour::Ok => Json(json!({"keys": keys})).into_response(),
        KeySetBehaviour::Empty => Json(json!({"keys": []})).into_response(),
        KeySetBehaviour::Fail => (StatusCode::INTERNAL_SERVER_ERROR, "told to fail\n").into_response(),
        KeySetBehaviour::Garbage => ([(header::CONTENT_TYPE, "text/html")], "<html>not a key set").into_response(),
        KeySetBehaviour::Hang => {
            tokio::time::sleep(Duration::from_secs(3600)).await;
            StatusCode::SERVICE_UNAVAILABLE.into_response()
        }
    }
}

/// What can be said of a token in a URL.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenQuery {
    audience: Option<String>,
    issuer: Option<String>,
    expires_in_seconds: Option<i64>,
    key: Option<super::keys::KeyKind>,
    forge: Option<super::token::Forgery>,
}

async fn token_for(State(idp): State<Idp>, Path(user): Path<String>, Query(query): Query<TokenQuery>) -> Response {
    let spec = TokenSpec {
        user: Some(user),
        issuer: query.issuer,
        audience: query.audience.map(Value::from),
        expires_in_seconds: query.expires_in_seconds,
        key: query.key.unwrap_or_default(),
        forge: query.forge,
        ..TokenSpec::default()
    };
    made(idp.token(&spec), |token| format!("{token}\n").into_response())
}

async fn token(State(idp): State<Idp>, Json(spec): Json<TokenSpec>) -> Response {
    made(idp.token(&spec), |token| {
        let expires = spec.expires_in_seconds.unwrap_or(600);
        Json(json!({"access_token": token, "token_type": "Bearer", "expires_in": expires})).into_response()
    })
}

fn made(token: Result<String, KeyError>, answer: impl FnOnce(String) -> Response) -> Response {
    match token {
        Ok(token) => answer(token),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

async fn status(State(idp): State<Idp>) -> Json<Value> {
    Json(idp.status())
}

async fn control(State(idp): State<Idp>, Json(control): Json<Control>) -> Response {
    if control.rotate {
        let keys = match SigningKeys::generate() {
            Ok(keys) => keys,
            Err(error) => return made(Err(error), |_| StatusCode::OK.into_response()),
        };
        let mut state = idp.state();
        state.kept = if control.keep_old { state.keys.public() } else { Vec::new() };
        state.keys = keys;
    }
    if let Some(behaviour) = control.key_set {
        idp.state().behaviour = behaviour;
    }
    Json(idp.status()).into_response()
}
