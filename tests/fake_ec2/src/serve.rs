//! HTTP/1.1 around a [`Fake`], and below `/_fake/` what people do to it while it runs.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::fake::{Fake, Lost};

/// Larger than any request Amazon takes.
const MOST_BYTES: usize = 4 << 20;

const HELP: &str = "\
GET  /_fake/state                                      everything there is, as it really is
GET  /_fake/counts                                     calls by action
GET  /_fake/touches?id=ID                              which calls that change something named a resource
POST /_fake/advance?ms=60000                           move the clock on
POST /_fake/capacity?type=t3.micro&zone=ZONE&free=0    how many more there are; free=any for no limit, spot=true for spot
POST /_fake/interrupt?id=ID&notice_ms=120000           take a spot instance back
POST /_fake/lose?id=ID                                 an instance ends by itself
POST /_fake/deny?actions=RunInstances,CreateVolume     refuse actions; empty allows all again
POST /_fake/policy?of=AKIAFAKEOURS                     what a key, or a role by its ARN, may do: the body, in JSON; empty allows all
POST /_fake/faults?rate=0.05                           something goes wrong with that share of calls
POST /_fake/plant?count=1000&seed=1&keys=a,b           resources of others
";

/// Serves until dropped.
pub async fn serve(fake: Fake, listener: TcpListener) -> Result<Infallible, std::io::Error> {
    let fake = Arc::new(fake);
    loop {
        let (stream, _) = listener.accept().await?;
        let fake = fake.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let fake = fake.clone();
                async move { respond(&fake, request).await }
            });
            // A client that hangs up is a client that hangs up, and an answer that is lost closes the connection.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn respond(fake: &Fake, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Lost> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, MOST_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "The request is too large.\n".to_owned())),
    };
    if head.uri.path().starts_with("/_fake") {
        return Ok(control(fake, &head.method, head.uri.path(), head.uri.query().unwrap_or_default(), &body));
    }
    let response = fake.answer(Request::from_parts(head, body)).await?;
    Ok(response.map(Full::new))
}

fn control(fake: &Fake, method: &Method, path: &str, query: &str, body: &[u8]) -> Response<Full<Bytes>> {
    let asked = |name: &str| {
        let mut pairs = form_urlencoded::parse(query.as_bytes());
        pairs.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let posted = method == Method::POST;
    let outcome = match path.trim_start_matches("/_fake").trim_matches('/') {
        "" => Ok(HELP.to_owned()),
        "state" => json(&fake.truth()),
        "counts" => json(&fake.counts()),
        "touches" => match asked("id") {
            Some(id) => json(&fake.touches_of(&id)),
            None => json(&fake.touches()),
        },
        name if !posted && HELP.contains(&format!("POST /_fake/{name}?")) => {
            Err(format!("/_fake/{name} changes something: ask by POST.\n"))
        }
        "advance" => number(asked("ms"), "ms").map(|ms| {
            fake.advance(ms);
            format!("{}\n", fake.now_ms())
        }),
        "capacity" => capacity(fake, asked),
        "interrupt" => required(asked("id"), "id").and_then(|id| {
            let notice = asked("notice_ms").map_or(Ok(120_000), |text| number(Some(text), "notice_ms"))?;
            let notice = Duration::from_millis(u64::try_from(notice).unwrap_or(0));
            fake.interrupt(&id, notice).map_err(|error| format!("{error}\n"))?;
            Ok("It is taken back.\n".to_owned())
        }),
        "lose" => required(asked("id"), "id").and_then(|id| {
            fake.lose_instance(&id).map_err(|error| format!("{error}\n"))?;
            Ok("It ends.\n".to_owned())
        }),
        "deny" => {
            let actions = asked("actions").unwrap_or_default();
            fake.set_denied(actions.split(',').filter(|action| !action.is_empty()));
            Ok("So be it.\n".to_owned())
        }
        "policy" => required(asked("of"), "of").and_then(|of| {
            let text = String::from_utf8_lossy(body);
            let policy = Some(text.trim()).filter(|text| !text.is_empty());
            fake.set_policy(&of, policy).map_err(|error| format!("{error}\n"))?;
            Ok("So be it.\n".to_owned())
        }),
        "faults" => {
            let rate =
                asked("rate").and_then(|text| text.parse::<f64>().ok()).filter(|rate| (0.0..=1.0).contains(rate));
            rate.ok_or_else(|| "rate is to be a share from 0 to 1, as in rate=0.05\n".to_owned()).map(|rate| {
                fake.set_faults(crate::Faults::everywhere(rate));
                "So be it.\n".to_owned()
            })
        }
        "plant" => number(asked("count"), "count").map(|count| {
            let (seed, keys) = (asked("seed").and_then(|text| text.parse().ok()), asked("keys").unwrap_or_default());
            let keys: Vec<&str> = keys.split(',').filter(|key| !key.is_empty()).collect();
            let ids = fake.plant_foreign(usize::try_from(count).unwrap_or(0), seed.unwrap_or(1), &keys);
            ids.join("\n") + "\n"
        }),
        other => return plain(StatusCode::NOT_FOUND, format!("There is no /_fake/{other}. There is:\n{HELP}")),
    };
    match outcome {
        Ok(text) => plain(StatusCode::OK, text),
        Err(text) => plain(StatusCode::BAD_REQUEST, text),
    }
}

fn capacity(fake: &Fake, asked: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let (kind, zone) = (required(asked("type"), "type")?, required(asked("zone"), "zone")?);
    let free = match required(asked("free"), "free")?.as_str() {
        "any" => None,
        text => Some(text.parse().map_err(|_| "free is to be a number, or any\n".to_owned())?),
    };
    match asked("spot").as_deref() {
        Some("true") => fake.set_spot_capacity(&kind, &zone, free),
        _ => fake.set_capacity(&kind, &zone, free),
    }
    Ok("So be it.\n".to_owned())
}

fn required(value: Option<String>, name: &str) -> Result<String, String> {
    value
        .filter(|value| !value.is_empty())
        .ok_or_else(|| format!("{name} is missing; GET /_fake tells what is understood\n"))
}

fn number(value: Option<String>, name: &str) -> Result<i64, String> {
    let number = required(value, name)?.parse().ok().filter(|number| *number >= 0);
    number.ok_or_else(|| format!("{name} is to be a whole number\n"))
}

fn json(value: &impl serde::Serialize) -> Result<String, String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(|error| error.to_string())
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    response
}
