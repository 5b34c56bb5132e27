//! What is under way for environments, done: what each call takes of which buckets, who makes it and writes down what came of it.

use std::time::Duration;

use provisioners::{EnvironmentId, LedgerError};

use super::Shared;
use super::buckets::{self, Bucket, Buckets, Paid};
use super::copies;
use super::errand::{Call, Errand, Outcome, Turned};
use super::network;
use super::records::{Record, Records};
use super::servers;
use super::turn;
use super::volumes;

/// Amazon's most for one call.
pub const MOST_AT_ONCE: usize = 1000;

/// What it takes of which buckets.
pub fn costs(errand: &Errand) -> Vec<(Bucket, u32)> {
    let call = |name| vec![(Bucket::Call(name), 1)];
    match errand {
        Errand::CreateVolume { .. } => call("CreateVolume"),
        Errand::DeleteVolume { .. } => call("DeleteVolume"),
        Errand::Launch { launch, .. } => {
            let servers = u32::try_from(launch.members.len()).unwrap_or(u32::MAX);
            of_servers("RunInstances", servers)
        }
        Errand::GiveUp { .. } | Errand::Shift { .. } | Errand::Settle { .. } => Vec::new(),
        Errand::CopyForMove { .. } => call("CreateSnapshot"),
        Errand::Terminate { .. } => of_servers("TerminateInstances", 1),
        Errand::Turn { turn, .. } => of_servers(turn::action(*turn), 1),
        Errand::Attach { .. } => call("AttachVolume"),
        Errand::CopySnapshot { .. } => call("CopySnapshot"),
        Errand::DeleteSnapshot { .. } => call("DeleteSnapshot"),
        Errand::CreateGroup | Errand::CreateInternetGroup => call("CreateSecurityGroup"),
        Errand::GiveRules { .. } => network::RULES.map(|name| (Bucket::Call(name), 1)).to_vec(),
        Errand::FollowPortal { .. } => network::WAYS.map(|name| (Bucket::Call(name), 1)).to_vec(),
        Errand::DeleteGroup { .. } => call("DeleteSecurityGroup"),
        Errand::Name { .. } => call("CreateTags"),
    }
}

fn of_servers(action: &'static str, servers: u32) -> Vec<(Bucket, u32)> {
    vec![(Bucket::Call(action), 1), (Bucket::Servers(action), servers)]
}

/// How many of these servers may go, stand by or wake in one call now. Where not all may, as many as come back in a second, so that
/// an empty bucket is not asked for single servers; the last one is no later for it.
///
/// # Errors
/// How long to wait for the first.
pub fn at_once(buckets: &Buckets, action: &'static str, wanted: usize) -> Result<(usize, Paid), Duration> {
    let (wanted, servers) = (u32::try_from(wanted).unwrap_or(u32::MAX).max(1), Bucket::Servers(action));
    let count = buckets.there_are(servers).clamp(buckets::in_a_second(servers).min(wanted), wanted);
    let paid = buckets.take(&of_servers(action, count))?;
    Ok((usize::try_from(count).unwrap_or(1), paid))
}

pub(super) async fn perform(shared: &Shared, call: &Call, paid: Paid) -> Outcome {
    let done = match call {
        Call::One(environment, errand) => one(shared, environment, errand, paid).await,
        Call::Terminate(batch) => servers::terminate(shared, batch, paid).await,
        Call::Turn(turn, batch) => turn::perform(shared, *turn, batch, paid).await,
    };
    done.unwrap_or_else(|error| Outcome::Again(error.to_string()))
}

async fn one(
    shared: &Shared,
    environment: &EnvironmentId,
    errand: &Errand,
    paid: Paid,
) -> Result<Outcome, LedgerError> {
    match errand {
        Errand::CreateVolume { volume } => volumes::create(shared, environment, volume, paid).await,
        Errand::DeleteVolume { volume, id } => volumes::delete(shared, environment, (volume, id), paid).await,
        Errand::Launch { launch, noted } => servers::start(shared, environment, launch, *noted, paid).await,
        Errand::GiveUp { server, reason } => servers::give_up(shared, environment, server, reason).await,
        Errand::Turn { server, instance, turn, wish } => {
            let (environment, server, instance) = (environment.clone(), server.clone(), instance.clone());
            turn::perform(shared, *turn, &[Turned { environment, server, instance, wish: *wish }], paid).await
        }
        Errand::Terminate { server, instance } => {
            servers::terminate(shared, &[(environment.clone(), server.clone(), instance.clone())], paid).await
        }
        Errand::Attach { server, number, volume, instance, guessed } => {
            volumes::attach(shared, environment, server, (*number, volume, instance), guessed.is_some(), paid).await
        }
        Errand::CopyForMove { volume, id, token } => {
            volumes::copy_for_move(shared, environment, (volume, id), token, paid).await
        }
        Errand::Shift { server, zone } => volumes::shift(shared, environment, server, zone).await,
        Errand::Settle { volume } => volumes::settle(shared, environment, volume).await,
        Errand::CopySnapshot { snapshot, volume } => {
            copies::perform(shared, environment, (snapshot, volume), paid).await
        }
        Errand::DeleteSnapshot { id } => volumes::delete_snapshot(shared, environment, id, paid).await,
        Errand::CreateGroup => network::create_group(shared, environment, paid).await,
        Errand::GiveRules { group } => network::give_rules(shared, environment, group, paid).await,
        Errand::FollowPortal { group } => network::follow_portal(shared, environment, group, paid).await,
        Errand::DeleteGroup { group } => network::delete_group(shared, environment, group, paid).await,
        Errand::CreateInternetGroup => network::create_internet_group(shared, environment, paid).await,
        Errand::Name { server, instance, tags } => {
            servers::name(shared, environment, server, (instance, tags), paid).await
        }
    }
}

impl Shared {
    /// Reads, changes one page, writes, and again until nobody else wrote in between; `false` when there is nothing to change.
    pub(super) async fn change(
        &self,
        environment: &EnvironmentId,
        change: impl Fn(&Records) -> Option<(i64, Record)>,
    ) -> Result<bool, LedgerError> {
        loop {
            let records = self.records_of(environment).await?;
            let Some(changed) = change(&records) else { return Ok(false) };
            if self.write(environment, vec![changed]).await? {
                return Ok(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ends_that_have_to_wait_share_a_call_each_second() {
        let buckets = Buckets::default();
        let at_once = |wanted| at_once(&buckets, "TerminateInstances", wanted).map(|(count, _)| count);
        assert_eq!((at_once(900), at_once(3), at_once(500)), (Ok(900), Ok(3), Ok(97)));
        let wait = at_once(500).unwrap_err();
        assert!(wait > Duration::from_millis(900), "{wait:?}");
        tokio::time::sleep(Duration::from_millis(1625)).await;
        assert_eq!(at_once(500), Ok(22));
        // The last few do not wait for more to come.
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(at_once(3), Ok(3));
    }
}
