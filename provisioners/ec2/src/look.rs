//! Looking at what there is on Amazon, for many environments at once: whoever wants to know joins the next look, and one look
//! is a handful of calls however many wait for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use provisioners::EnvironmentId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::amazon::{Amazon, Called, EbsSnapshot, EbsVolume, Instance, SecurityGroup};
use super::tags::{ENVIRONMENT, INSTALLATION, Tags};

/// What Amazon shows of one environment: as it was a while ago, and perhaps not all of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    pub groups: Vec<SecurityGroup>,
    pub instances: Vec<Instance>,
    pub volumes: Vec<EbsVolume>,
    pub snapshots: Vec<EbsSnapshot>,
}

/// Environments that one question names: Amazon's most is 200 for the values of all its filters, of which one names the installation.
const MOST_NAMED: usize = 199;
/// Of everything, snapshots are by far the most, and change the least: what was read of all of them counts for so many times as long
/// as reading it took, and no longer than Amazon itself shows what was.
const SNAPSHOTS_COUNT_TIMES: u32 = 10;
const SNAPSHOTS_COUNT_AT_MOST: Duration = Duration::from_secs(120);
/// Questions that may wait for the next look.
const WAITING: usize = 1024;

type Answer = Called<Arc<BTreeMap<EnvironmentId, Seen>>>;
type Question = (BTreeSet<EnvironmentId>, oneshot::Sender<Answer>);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Lookout {
    questions: mpsc::Sender<Question>,
}

impl Lookout {
    /// Looks for as long as somebody holds it.
    pub fn start(amazon: Amazon, installation: String) -> (Self, impl Future<Output = ()> + Send) {
        let (questions, waiting) = mpsc::channel(WAITING);
        (Self { questions }, look_again_and_again(amazon, installation, waiting))
    }

    /// What there is of these environments, looked at after this was called; what there is nothing of is not in the answer.
    ///
    /// # Errors
    /// When Amazon did not answer.
    pub async fn look(&self, environments: impl IntoIterator<Item = EnvironmentId>) -> Answer {
        let (answer, answered) = oneshot::channel();
        let question = (environments.into_iter().collect(), answer);
        let gone =
            || super::amazon::CallError::Unknown { call: "Describe", message: "the portal is stopping".to_owned() };
        self.questions.send(question).await.map_err(|_| gone())?;
        answered.await.map_err(|_| gone())?
    }
}

async fn look_again_and_again(amazon: Amazon, installation: String, mut waiting: mpsc::Receiver<Question>) {
    let mut kept = None;
    while let Some(first) = waiting.recv().await {
        let mut asked = vec![first];
        while let Ok(another) = waiting.try_recv() {
            asked.push(another);
        }
        let wanted: BTreeSet<&EnvironmentId> = asked.iter().flat_map(|(wanted, _)| wanted).collect();
        let wanted: Vec<String> = wanted.into_iter().map(ToString::to_string).collect();
        let answer = match wanted.len() <= MOST_NAMED {
            true => all(&amazon, &installation, Some(&wanted), None).await,
            false => all(&amazon, &installation, None, Some(&mut kept)).await,
        };
        let answer = answer.map(Arc::new);
        for (_, whoever) in asked {
            // Who does not wait any more does not need it.
            let _ = whoever.send(answer.clone());
        }
    }
}

/// Snapshots of the whole installation, and until when they count.
pub type Kept = Option<(Arc<Vec<EbsSnapshot>>, Instant)>;

/// Everything of this installation, or of these environments of it, as Amazon shows it now; where snapshots are `kept`, those perhaps
/// as they were a moment ago.
pub async fn all(
    amazon: &Amazon,
    installation: &str,
    environments: Option<&[String]>,
    kept: Option<&mut Kept>,
) -> Called<BTreeMap<EnvironmentId, Seen>> {
    let ours = [installation.to_owned()];
    let mut tags: Vec<(&str, &[String])> = vec![(INSTALLATION, &ours)];
    tags.extend(environments.map(|environments| (ENVIRONMENT, environments)));
    let (groups, instances, volumes, snapshots) = tokio::try_join!(
        amazon.security_groups(&tags),
        amazon.instances(&tags),
        amazon.volumes(&tags),
        snapshots(amazon, &tags, kept),
    )?;
    let mut seen: BTreeMap<EnvironmentId, Seen> = BTreeMap::new();
    let whose = |tags: &Tags| {
        let ours = tags.get(INSTALLATION).is_some_and(|of| of == installation);
        tags.get(ENVIRONMENT).filter(|_| ours).map(EnvironmentId::new)
    };
    for group in groups {
        whose(&group.tags).into_iter().for_each(|of| seen.entry(of).or_default().groups.push(group.clone()));
    }
    for instance in instances {
        whose(&instance.tags).into_iter().for_each(|of| seen.entry(of).or_default().instances.push(instance.clone()));
    }
    for volume in volumes {
        whose(&volume.tags).into_iter().for_each(|of| seen.entry(of).or_default().volumes.push(volume.clone()));
    }
    for snapshot in snapshots.iter() {
        whose(&snapshot.tags).into_iter().for_each(|of| seen.entry(of).or_default().snapshots.push(snapshot.clone()));
    }
    Ok(seen)
}

async fn snapshots(
    amazon: &Amazon,
    tags: &[(&str, &[String])],
    kept: Option<&mut Kept>,
) -> Called<Arc<Vec<EbsSnapshot>>> {
    let Some(kept) = kept else { return amazon.snapshots(tags).await.map(Arc::new) };
    if let Some((snapshots, _)) = kept.as_ref().filter(|(_, until)| Instant::now() < *until) {
        return Ok(snapshots.clone());
    }
    let began = Instant::now();
    let snapshots = Arc::new(amazon.snapshots(tags).await?);
    let counts_for = (began.elapsed() * SNAPSHOTS_COUNT_TIMES).min(SNAPSHOTS_COUNT_AT_MOST);
    *kept = Some((snapshots.clone(), Instant::now() + counts_for));
    Ok(snapshots)
}
