//! Requests and responses: what docker's plugins speak over HTTP/1.1 (moby, docs/extend/plugin_api.md).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::in_time::in_time;
use crate::{
    calls::{Call, answer, take_back},
    driver::Driver,
    refusal::{Answered, Refusal, told},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
};
use serde_json::{Value, json};

/// What bodies are, both ways.
const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/vnd.docker.plugins.v1.2+json");
/// Bytes of the largest body: docker's have a few hundred.
const LARGEST: usize = 1 << 20;
/// Docker waits for thirty seconds, and then tries again what is still being done.
const PATIENCE: Duration = Duration::from_secs(25);

/// The response to a request. There always is one: docker would ask again, with an empty body (moby#35459).
pub(super) async fn respond(driver: Arc<Driver>, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let Some(call) = Call::of_path(&path) else {
        return response(StatusCode::NOT_FOUND, &json!({ "Err": format!("there is no call {path}") }));
    };
    if request.method() != Method::POST {
        return response(StatusCode::METHOD_NOT_ALLOWED, &json!({ "Err": "calls are made by POST" }));
    }
    let body = match Limited::new(request.into_body(), LARGEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) => return response(StatusCode::BAD_REQUEST, &json!({ "Err": error.to_string() })),
    };
    let began = Instant::now();
    let again = (Arc::clone(&driver), body.clone());
    let doing = move || answer(&driver, call, &body);
    let (status, document) =
        match in_time(PATIENCE, doing, move |answered| late(&again.0, call, &again.1, &answered)).await {
            Ok(Some(answered)) => outcome(answered),
            Err(panic) => (StatusCode::OK, json!({ "Err": format!("fwd has panicked: {panic}") })),
            Ok(None) => {
                let told = format!("it is not done after {PATIENCE:?}: another command is at the host; try again");
                (StatusCode::OK, json!({ "Err": told }))
            }
        };
    match document.get("Err").and_then(Value::as_str) {
        Some(why) => tracing::warn!("{call:?}: {why}"),
        None => tracing::debug!("{call:?}: done in {:?}", began.elapsed()),
    }
    response(status, &document)
}

/// Docker takes a call for failed that was not answered, and what it has asked for is not there to it: so it must not be there.
fn late(driver: &Driver, call: Call, body: &[u8], answered: &Answered<Value>) {
    if answered.is_ok() {
        tracing::warn!("{call:?}: done when docker waited no more, and taken back");
        if let Err(Refusal::Failed(error)) = take_back(driver, call, body) {
            tracing::warn!("{call:?}: {}", told(&error));
        }
    }
}

/// The status and the document for what a call has come to.
fn outcome(answered: Answered<Value>) -> (StatusCode, Value) {
    match answered {
        Ok(document) => (StatusCode::OK, document),
        Err(Refusal::Failed(error)) => (StatusCode::OK, json!({ "Err": told(&error) })),
        Err(Refusal::Undecodable(why)) => {
            (StatusCode::BAD_REQUEST, json!({ "Err": format!("the body is no such call: {why}") }))
        }
    }
}

fn response(status: StatusCode, document: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(document.to_string())));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, MEDIA_TYPE);
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use fwd_base::{Error, Kind};

    #[test]
    fn failures_are_documents_and_what_is_no_call_is_a_bad_request() {
        let error = Error::new(Kind::Conflict, "publish", "port 80:80/tcp", "web has it").remedy("take another");
        let (status, document) = outcome(Err(error.into()));
        assert_eq!(status, StatusCode::OK);
        assert_eq!(document, json!({ "Err": "cannot publish port 80:80/tcp: web has it; take another" }));
        let (status, document) = outcome(Err(Refusal::Undecodable("EOF".into())));
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(document["Err"].as_str().is_some_and(|why| why.contains("EOF")));
        assert_eq!(outcome(Ok(json!({}))), (StatusCode::OK, json!({})));
    }
}
