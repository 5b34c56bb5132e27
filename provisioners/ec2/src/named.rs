//! What an operator names besides images and sizes: security groups, an instance profile, a key pair. A wrong one is told when the
//! portal starts and by the doctor, not by the first order after a minute.
//!
//! Groups are looked at. Whether profile and key pair are there the policy lets nobody look at, so a launch is rehearsed. What
//! all a rehearsal looks at Amazon does not say; what it passes over is told by the first order.

use super::amazon::{Amazon, CallError};
use super::config::Config;
use super::doctor::rehearse_launch;
use super::place::{Place, PlaceError, first_image};

/// # Errors
/// [`PlaceError`] says which one is wrong.
pub async fn check(amazon: &Amazon, config: &Config, place: &Place, installation: &str) -> Result<(), PlaceError> {
    groups(amazon, config, &place.vpc).await?;
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

/// All that are configured are there, in the VPC that servers come in.
///
/// # Errors
/// [`PlaceError`] says which one is not.
pub async fn groups(amazon: &Amazon, config: &Config, vpc: &str) -> Result<(), PlaceError> {
    if config.security_groups.is_empty() {
        return Ok(());
    }
    let networks = amazon.networks_of_groups(&config.security_groups).await?;
    for id in &config.security_groups {
        match networks.get(id) {
            None => return Err(PlaceError::NoGroup { id: id.clone() }),
            Some(of) if of != vpc => {
                let (id, of, vpc) = (id.clone(), of.clone(), vpc.to_owned());
                return Err(PlaceError::OtherGroup { id, of, vpc });
            }
            Some(_) => {}
        }
    }
    Ok(())
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
