//! What a region offers and an operator names, found out at start, so that what is wrong is told then and not by the first order
//! after a minute; and again every hour.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::Shared;
use super::amazon::{Amazon, CallError};
use super::config::Config;
use super::doctor::rehearse_launch;
use super::place::{Place, PlaceError, first_image};
use super::survey;

/// Between looks for newer images and the like.
const REFRESH: Duration = Duration::from_secs(3600);
/// After somebody met what is no more; others meet it, too.
const SOON: Duration = Duration::from_secs(1);
/// Between looks while nothing is known.
const RETRY: Duration = Duration::from_secs(10);

/// Runs for as long as it is polled. What was known stays when Amazon does not answer.
pub(super) async fn keep_current(shared: Arc<Shared>) {
    loop {
        let known = shared.place();
        let pause = if known.is_some() { REFRESH } else { RETRY };
        // Sooner when something that it names is no more, but not each time that is met.
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shared.outdated.notified() => tokio::time::sleep(SOON).await,
        }
        match find(&shared.amazon, &shared.config, &shared.portal.url, &shared.installation).await {
            Ok(place) => {
                *shared.place.write().unwrap_or_else(PoisonError::into_inner) = Ok(Arc::new(place));
                if known.is_none() {
                    tracing::info!(provisioner = shared.name, "it is known what Amazon offers");
                    shared.active.wake();
                }
            }
            Err(error) => {
                tracing::warn!(provisioner = shared.name, %error, "what Amazon offers is not known anew");
                let next = match known {
                    None => Err(error.plain()),
                    Some(known) => Ok(Arc::new(where_the_portal_is(&known, &shared).await)),
                };
                *shared.place.write().unwrap_or_else(PoisonError::into_inner) = next;
            }
        }
    }
}

/// All that there is to know, and that all is there which an operator names.
///
/// Apart from whoever waits for it: calls of Amazon's client are large, and several of them are more than a thread's stack has
/// room for in a build without optimisation.
///
/// # Errors
/// [`PlaceError`] says what is missing.
pub fn find<'a>(
    amazon: &'a Amazon,
    config: &'a Config,
    portal_url: &'a str,
    installation: &'a str,
) -> BoxFuture<'a, Result<Place, PlaceError>> {
    Box::pin(async move {
        let subnets = survey::subnets(amazon, config).await?;
        let place = Place {
            vpc: subnets[0].vpc.clone(),
            subnets,
            sizes: survey::sizes(amazon, config).boxed().await?,
            images: survey::images(amazon, config).boxed().await?,
            portal_rules: survey::portal_rules(config, portal_url).await?,
        };
        check(amazon, config, &place, installation).boxed().await?;
        Ok(place)
    })
}

/// The same, and where the portal is now: what servers run has to be found whatever new ones lack.
async fn where_the_portal_is(known: &Place, shared: &Shared) -> Place {
    match survey::portal_rules(&shared.config, &shared.portal.url).await {
        Ok(portal_rules) => Place { portal_rules, ..known.clone() },
        Err(_) => known.clone(),
    }
}

/// What an operator names besides images and sizes: security groups, an instance profile, a key pair.
///
/// Groups are looked at. Whether profile and key pair are there the policy lets nobody look at, so a launch is rehearsed. What
/// all a rehearsal looks at Amazon does not say; what it passes over is told by the first order.
///
/// # Errors
/// [`PlaceError`] says which one is wrong.
async fn check(amazon: &Amazon, config: &Config, place: &Place, installation: &str) -> Result<(), PlaceError> {
    survey::groups(amazon, config, &place.vpc).await?;
    let subnet = place.subnets.first().filter(|_| config.instance_profile.is_some() || config.key_pair.is_some());
    let (Some(subnet), Some(image)) = (subnet, first_image(&place.sizes, &place.images)) else { return Ok(()) };
    let refused = rehearse_launch(&amazon.rehearsing(), config, subnet, image, installation).await.err();
    match refused.map(|error| judged(config, error)) {
        Some(Err(wrong)) => Err(wrong),
        Some(Ok(error)) => {
            tracing::warn!(%error, "a launch would be refused: `bookend doctor ec2` says what is missing");
            Ok(())
        }
        None => Ok(()),
    }
}

/// What of the configuration a refusal is about; the refusal itself when it is about something else, which may be otherwise for a
/// real launch.
fn judged(config: &Config, error: CallError) -> Result<CallError, PlaceError> {
    let CallError::Refused { code, message, .. } = &error else { return Ok(error) };
    let about_profile = code.starts_with("InvalidParameterValue") && message.to_lowercase().contains("profile");
    match (config.instance_profile.clone(), config.key_pair.clone()) {
        (Some(name), _) if about_profile => Err(PlaceError::NoProfile { name }),
        (_, Some(name)) if code == "InvalidKeyPair.NotFound" => Err(PlaceError::NoKeyPair { name }),
        _ => Ok(error),
    }
}
