//! `login` and `token`: who one is to the portal.

use std::io::{IsTerminal, Write};

use app::api::{ApiError, PersonView, TokenCreated, TokenRequest, TokenView};
use http::header::{COOKIE, ORIGIN, SET_COOKIE};
use reqwest::{Method, Url};
use serde_json::json;

use super::arguments::{LoginArguments, TokenCreateArguments};
use super::client::{Client, portal_address};
use super::credentials::{self, Credentials};
use super::failure::Failure;
use super::output::{Output, clean, now, print, table, time};
use super::terminal::read_hidden;
use crate::auth::token::{Terms, create_on_this_machine};
use crate::serve::database_url;
use crate::store::Store;

/// Asks for a token, or for a password and has a token made, proves that it is good, and remembers it.
pub async fn login(login: LoginArguments, url: Option<&str>, output: Output) -> Result<(), Failure> {
    let base = match login.portal.as_deref().or(url) {
        Some(address) => portal_address(address)?,
        None => Client::new(None)?.base().clone(),
    };
    let token = match &login.user {
        Some(user) => token_by_password(&base, user).await?,
        None => {
            let prompt = format!("An API token of {base} (make one on your profile page there): ");
            read_hidden(&prompt)?.trim().to_owned()
        }
    };
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::usage("that is no API token").detail("It begins with bkd_ and is one word."));
    }
    let person: PersonView = Client::with_token(base.clone(), Some(token.clone()))?.get(&["me"], &[]).await?;
    let path = credentials::save(&Credentials { url: base.to_string(), token })?;
    output.progress(&format!("The token is kept in {}.", path.display()));
    let url = base.to_string();
    output.result(&json!({ "url": url, "name": person.name }), || {
        format!("Signed in to {url} as {}", clean(&person.name))
    })
}

async fn token_by_password(base: &Url, user: &str) -> Result<String, Failure> {
    let password = read_hidden(&format!("Password of {user} at {base}: "))?;
    let client = Client::with_token(base.clone(), None)?;
    let origin = base.origin().ascii_serialization();
    let sign_in = client.request(Method::POST, &["session"])?.json(&json!({ "name": user, "password": password }));
    let response = client.send(sign_in).await?;
    let cookies: Vec<&str> = response
        .headers()
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|cookie| cookie.to_str().ok()?.split(';').next())
        .collect();
    let cookies = cookies.join("; ");
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let request = TokenRequest { name: format!("bookend on {host}"), expires_in_days: None };
    let made: TokenCreated = {
        let headers = [(COOKIE.as_str(), cookies.as_str()), (ORIGIN.as_str(), origin.as_str())];
        client.post(&["tokens"], &request, &headers).await?
    };
    // The session has done its one thing.
    let sign_out = client.request(Method::DELETE, &["session"])?.header(COOKIE, &cookies).header(ORIGIN, &origin);
    let _ = client.send(sign_out).await;
    Ok(made.token)
}

/// A token of the person who is signed in.
pub async fn create_token(client: &Client, create: TokenCreateArguments, output: Output) -> Result<(), Failure> {
    let request = TokenRequest { name: create.name, expires_in_days: create.expires_in_days };
    let made: TokenCreated = client.post(&["tokens"], &request, &[]).await?;
    output.result(&made, || made.token.clone())
}

/// A token straight from the data of this machine's portal, which may be running.
pub async fn create_token_here(create: TokenCreateArguments, user: &str, output: Output) -> Result<(), Failure> {
    let trouble = |error: &(dyn std::error::Error + 'static)| Failure::local(super::chain(error));
    let now = now();
    let request = TokenRequest { name: create.name, expires_in_days: create.expires_in_days };
    let terms = Terms::new(&request, now).map_err(|wrong| Failure::from(ApiError::invalid(wrong)))?;
    if create.database_url.is_none() {
        std::fs::create_dir_all(&create.data_dir).map_err(|error| {
            Failure::local(format!("the data directory {} cannot be made: {error}", create.data_dir.display()))
        })?;
    }
    let url = database_url(&create.data_dir, create.database_url.as_deref());
    let store = Store::open(&url).await.map_err(|error| trouble(&error))?;
    let is_known = |person: Option<crate::store::PersonRow>| person.is_some();
    let known = store.person(&user.to_lowercase()).await.map(is_known).map_err(|error| trouble(&error))?;
    let token = create_on_this_machine(&store, user, &terms, now).await.map_err(|error| trouble(&error))?;
    if !known {
        let name = clean(user);
        writeln!(std::io::stderr(), "There was no {name}: made as an administrator who signs in by token only.")?;
    }
    if output.json {
        return output.result(&json!({ "token": token }), String::new);
    }
    Ok(print(&format!("{token}\n"))?)
}

pub async fn list_tokens(client: &Client, output: Output) -> Result<(), Failure> {
    let tokens: Vec<TokenView> = client.get(&["tokens"], &[]).await?;
    output.result(&json!({ "items": tokens }), || {
        if tokens.is_empty() {
            return "No API tokens.".into();
        }
        let rows: Vec<Vec<String>> = tokens
            .iter()
            .map(|token| {
                let or_never = |at: Option<i64>| at.map_or_else(|| "never".to_owned(), time);
                vec![
                    token.id.clone(),
                    token.name.clone(),
                    time(token.created_at),
                    or_never(token.last_used_at),
                    or_never(token.expires_at),
                ]
            })
            .collect();
        table(&["ID", "NAME", "MADE", "LAST USED", "EXPIRES"], &rows)
    })
}

/// By id, or by name when only one is called so.
pub async fn revoke_token(client: &Client, token: &str, output: Output) -> Result<(), Failure> {
    let tokens: Vec<TokenView> = client.get(&["tokens"], &[]).await?;
    let matching: Vec<&TokenView> = match tokens.iter().find(|known| known.id == token) {
        Some(known) => vec![known],
        None => tokens.iter().filter(|known| known.name == token).collect(),
    };
    let found = match matching.as_slice() {
        [only] => *only,
        [] => return Err(Failure::not_found(format!("there is no token “{token}”"))),
        several => {
            return Err(Failure::usage(format!("{} tokens are called “{token}”", several.len()))
                .detail("Name it by its id: `bookend token list`."));
        }
    };
    client.delete(&["tokens", &found.id], &[]).await?;
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr(), "{} is useless now.", clean(&found.name));
    }
    output.result(found, String::new)
}
