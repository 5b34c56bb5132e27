//! Stories of snapshots that are not what was taken: a disk that fails says nothing.

use super::files::{Both, refused};
use super::{Place, effect, end, expect_nothing, life_of_data, perform, restored, settled};
use crate::{EnvironmentId, ProvisionError, SnapshotId, SnapshotState, Step, Told, Tree, VolumeId};

/// Nothing is restored from a snapshot that is not what was taken, whether or not somebody looked before; what is damaged is
/// named, and no volume is there, not even an empty one.
pub async fn a_damaged_snapshot_is_refused_and_what_is_damaged_named(place: &dyn Place) {
    for verified in [true, false] {
        let environment = EnvironmentId::new(format!("damaged-{verified}"));
        let data = life_of_data(&environment);
        let provisioner = place.open().await;
        for step in &data[..3] {
            perform(place, provisioner.as_ref(), &environment, step, "in a life").await;
        }
        settled(provisioner.as_ref(), &environment).await;
        let snapshot = SnapshotId::new("snapshot");
        let path = place.damage(&environment, &snapshot, &VolumeId::new("data"));
        if verified {
            let verification =
                provisioner.verify(&environment, &snapshot, &Told::default()).await.expect("a verification");
            assert_eq!(verification.damage.first().map(|damage| &damage.path), Some(&path), "{verification:?}");
        }
        let create = Step::CreateVolume { volume: restored(&environment) };
        for _ in 0..2 {
            let requested = provisioner.request(&effect(&environment, &create)).await;
            let message = match requested {
                Err(ProvisionError::Rejected { message }) => message,
                // A long restore is accepted; then the same is observed.
                other => panic!("{other:?}"),
            };
            assert!(message.contains(&path) && message.contains("damaged"), "{message}");
        }
        let observed = settled(provisioner.as_ref(), &environment).await;
        assert!(observed.volumes.is_empty(), "{observed:?}");
        let state = &observed.snapshots[0].state;
        assert!(matches!(state, SnapshotState::Damaged { reason } if reason.contains(&path)), "{state:?}");
        end(provisioner.as_ref(), &environment).await;
        expect_nothing(place, provisioner.as_ref(), &environment).await;
    }
}

/// Nothing comes back from a snapshot that is not what was taken; what is damaged is named, and nothing is changed.
pub async fn a_damaged_file_does_not_come_back(place: &dyn Place) {
    let environment = EnvironmentId::new("damaged-file");
    let provisioner = place.open().await;
    for step in &life_of_data(&environment)[..2] {
        perform(place, provisioner.as_ref(), &environment, step, "in a life").await;
    }
    settled(provisioner.as_ref(), &environment).await;
    let (snapshot, volume) = (SnapshotId::new("snapshot"), VolumeId::new("data"));
    let path = place.damage(&environment, &snapshot, &volume);
    let now = Tree { environment: environment.clone(), snapshot: None, volume };
    let then = Tree { snapshot: Some(snapshot), ..now.clone() };
    let both = Both { provisioner: provisioner.as_ref(), now, then };
    let before = both.names(&both.now, b"").await;
    let folder = path.split('/').next().unwrap_or_default().as_bytes();
    for lost in [path.as_bytes(), folder] {
        let message = refused(both.restore(lost, b"back", false).await);
        assert!(message.contains("damaged") && message.contains(&path), "{message}");
        assert_eq!(both.names(&both.now, b"").await, before);
    }
    end(provisioner.as_ref(), &environment).await;
    expect_nothing(place, provisioner.as_ref(), &environment).await;
}
