//! A fleet is brought up, its servers are stopped, then taken down, and what is left is deleted; each begins with full buckets.
//! It is done when it is so on the fake, and known when the provisioner says so of every environment: describes show what was up to five minutes
//! ago, and nobody knows earlier than they show.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ec2::Ec2;
use fake_ec2::{Census, Counts, Fake, Optimum, Rules};
use futures::future::try_join_all;
use provisioners::{EnvironmentId, MachineState, ObservedEnvironment, ProvisionError, Provisioner, Step};
use tokio::sync::broadcast::Receiver;
use tokio::time::Instant;

use crate::account;
use crate::fleet::{Fleet, effect};
use crate::optimum;

/// Between phases: until all buckets are full and describes show what is.
const REST: Duration = Duration::from_secs(3600);
/// A hint may be lost.
const LOOK: Duration = Duration::from_secs(10);
/// What changes at the same time is looked at together, as the portal does.
const GATHER: Duration = Duration::from_millis(500);
/// Between looks at what is so, past the provisioner.
const GLANCE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(6 * 3600);
const AIM: f64 = 1.05;

/// # Errors
/// What could not be brought up.
pub async fn measure(fleet: &Fleet) -> Result<(), String> {
    let fake = Fake::new(Rules::lifelike(1));
    let provisioner = account::open(&fake).await?;
    println!(
        "{} servers in {} environments, each with a volume; times are Amazon's, on a clock that stands still while we compute",
        fleet.all_servers(),
        fleet.environments
    );
    let bench = Bench { fleet, fake, provisioner };
    let own_groups = bench.fake.census().groups;
    let all = |states: &BTreeMap<&str, usize>, state| states.get(state) == Some(&fleet.all_servers());
    let start = Phase {
        name: "start",
        optimum: optimum::start(fleet),
        is_so: &|now| {
            all(&now.instances, "running")
                && now.volumes.get("in-use") == Some(&(fleet.all_servers() + fleet.environments))
        },
        is_known: &|seen| {
            let running = seen.servers.iter().filter(|server| server.state == MachineState::Running).count();
            running == fleet.servers && seen.volumes.len() == 1
        },
    };
    bench.run(&start, |id| fleet.start(id)).await?;
    let stop = Phase {
        name: "stop",
        optimum: optimum::stop(fleet),
        is_so: &|now| all(&now.instances, "stopped"),
        is_known: &|seen| seen.servers.iter().all(|server| matches!(server.state, MachineState::Suspended { .. })),
    };
    bench.run(&stop, |id| fleet.stop(id)).await?;
    let park = Phase {
        name: "park",
        optimum: optimum::park(fleet),
        is_so: &|now| all(&now.instances, "terminated"),
        is_known: &|seen| seen.servers.is_empty(),
    };
    bench.run(&park, |id| fleet.park(id)).await?;
    let delete = Phase {
        name: "delete",
        optimum: optimum::delete(fleet),
        is_so: &|now| now.groups == own_groups && now.volumes.keys().all(|state| *state == "deleted"),
        is_known: &|seen| seen.volumes.is_empty() && !seen.network,
    };
    bench.run(&delete, |id| fleet.delete(id)).await
}

/// What is to be brought about.
struct Phase<'a> {
    name: &'static str,
    optimum: Optimum,
    /// On the fake itself.
    is_so: &'a dyn Fn(&Census) -> bool,
    /// To the provisioner, of each environment.
    is_known: &'a dyn Fn(&ObservedEnvironment) -> bool,
}

struct Bench<'a> {
    fleet: &'a Fleet,
    fake: Fake,
    provisioner: Ec2,
}

impl Bench<'_> {
    async fn run(&self, phase: &Phase<'_>, steps: impl Fn(&EnvironmentId) -> Vec<Vec<Step>>) -> Result<(), String> {
        tokio::time::sleep(REST).await;
        let ids = self.fleet.ids();
        let before = self.fake.counts();
        let changes = self.provisioner.changes();
        let (begun, started_ms) = (Instant::now(), self.fake.now_ms());
        let asked = try_join_all(ids.iter().map(|id| self.ask(id, steps(id))));
        let is_so = self.until_it_is(phase, begun);
        let (_, done, known) = tokio::try_join!(asked, is_so, self.until_known(phase, &ids, changes, begun))?;
        let calls = since(&before, &self.fake.counts());
        let (done, best) = (done.as_secs_f64(), phase.optimum.time.as_secs_f64());
        let ratio = done / best;
        println!(
            "{:<6} done after {done:7.1} s   at best {best:7.1} s ({})   {ratio:.3} × {}   known after {:7.1} s",
            phase.name,
            phase.optimum.bucket,
            if ratio <= AIM { "met" } else { "missed" },
            known.as_secs_f64(),
        );
        let last = last_of(&self.fake, started_ms);
        let each = calls.calls.iter().map(|(action, count)| match last.get(action) {
            Some(at) => format!("{action} {count} (until {at} s)"),
            None => format!("{action} {count}"),
        });
        let each = each.collect::<Vec<_>>().join(", ");
        println!("       {} calls, {} throttled: {each}", calls.all(), calls.all_throttled());
        Ok(())
    }

    async fn until_it_is(&self, phase: &Phase<'_>, begun: Instant) -> Result<Duration, String> {
        while !(phase.is_so)(&self.fake.census()) {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{} is never over: {:?}", phase.name, self.fake.census()));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(begun.elapsed())
    }

    /// Group after group, each until it is accepted.
    async fn ask(&self, environment: &EnvironmentId, steps: Vec<Vec<Step>>) -> Result<(), String> {
        for group in steps {
            try_join_all(group.iter().map(|step| self.accepted(environment, step))).await?;
        }
        Ok(())
    }

    async fn accepted(&self, environment: &EnvironmentId, step: &Step) -> Result<(), String> {
        loop {
            match self.provisioner.request(&effect(environment, step)).await {
                Ok(()) => return Ok(()),
                Err(ProvisionError::Retryable { after, .. }) => tokio::time::sleep(after).await,
                Err(error) => return Err(format!("{environment}: {step:?}: {error}")),
            }
        }
    }

    /// Looks at what is said to have changed, and at everything now and then.
    async fn until_known(
        &self,
        phase: &Phase<'_>,
        ids: &[EnvironmentId],
        mut changes: Receiver<EnvironmentId>,
        begun: Instant,
    ) -> Result<Duration, String> {
        let mut missing: BTreeSet<EnvironmentId> = ids.iter().cloned().collect();
        while !missing.is_empty() {
            if begun.elapsed() > PATIENCE {
                return Err(format!("{} environments are never as they should be.", missing.len()));
            }
            let heard = tokio::time::timeout(LOOK, changes.recv()).await;
            tokio::time::sleep(GATHER).await;
            let mut changed: BTreeSet<EnvironmentId> = match heard {
                Ok(Ok(environment)) => BTreeSet::from([environment]),
                _ => missing.clone(),
            };
            loop {
                match changes.try_recv() {
                    Ok(environment) => drop(changed.insert(environment)),
                    Err(tokio::sync::broadcast::error::TryRecvError::Lagged(_)) => changed = missing.clone(),
                    Err(_) => break,
                }
            }
            let look: Vec<EnvironmentId> = changed.intersection(&missing).cloned().collect();
            // An Amazon that does not answer is asked again.
            let seen = self.provisioner.observe(&look).await.unwrap_or_default();
            for seen in seen.iter().filter(|seen| (phase.is_known)(seen)) {
                missing.remove(&seen.environment);
            }
        }
        Ok(begun.elapsed())
    }
}

/// When each action was last accepted, in seconds from a moment on.
fn last_of(fake: &Fake, from_ms: i64) -> BTreeMap<String, i64> {
    let touches = fake.touches().into_iter().filter(|touch| touch.at_ms >= from_ms && touch.refused.is_none());
    touches.map(|touch| (touch.action, (touch.at_ms - from_ms) / 1000)).collect()
}

pub fn since(before: &Counts, after: &Counts) -> Counts {
    let less = |before: &BTreeMap<String, u64>, after: &BTreeMap<String, u64>| {
        let change = |(name, count): (&String, &u64)| (name.clone(), count - before.get(name).copied().unwrap_or(0));
        after.iter().map(change).filter(|(_, count)| *count > 0).collect()
    };
    Counts {
        calls: less(&before.calls, &after.calls),
        throttled: less(&before.throttled, &after.throttled),
        refused: less(&before.refused, &after.refused),
        forbidden: less(&before.forbidden, &after.forbidden),
    }
}
